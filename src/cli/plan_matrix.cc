#include "cli/plan_matrix.h"

#include <algorithm>
#include <functional>

#include "base/file.h"
#include "base/log.h"
#include "cli/child.h"
#include "cli/common.h"
#include "cli/machine.h"
#include "cli/measured_recipe.h"
#include "report/page.h"
#include "report/pictures.h"

namespace nibble {
namespace {

struct Way {
  const char* name;
  std::vector<std::string> recipe;
  bool calibrated;
};
const std::vector<Way>& ways() {
  static const std::vector<Way> list = {
      {"INT8, rounded", {"--scheme", "w8", "--method", "rtn"}, false},
      {"INT4, rounded", {"--scheme", "w4g128-asym", "--method", "rtn"}, false},
      {"INT4, GPTQ", {"--scheme", "w4g128-asym", "--method", "gptq"}, true},
      {"INT4, balanced", {"--scheme", "w4g128-asym", "--method", "balanced"}, true},
      {"mixed, 5 bits", {"--target-bpw", "5", "--method", "gptq"}, true},
      {"INT4, 2:4 sparse",
       {"--scheme", "w4g128-asym", "--method", "sparsegpt", "--sparsity", "2:4"},
       true},
      {"INT4, scales learn",
       {"--scheme", "w4g128-asym", "--method", "gptq", "--distill", "scales"},
       true},
  };
  return list;
}

struct Column {
  std::string name;
  std::vector<std::string> recipe;
  MeasuredRecipe seen;
};

// A goal is a figure of every column, small or large being good.
struct Goal {
  const char* name;
  const char* what;
  bool small;
  double (*figure)(const MeasuredRecipe&);
  std::string (*shown)(const MeasuredRecipe&);
};
constexpr Goal kGoals[] = {
    {"size", "bytes of all tensors", true,
     [](const MeasuredRecipe& m) { return static_cast<double>(m.bytes); },
     [](const MeasuredRecipe& m) { return bytes_text(m.bytes); }},
    {"quality", "KL to the float model, nats a token", true,
     [](const MeasuredRecipe& m) { return m.kl; },
     [](const MeasuredRecipe& m) { return fmt::format("{:.5f}", m.kl); }},
    {"the same answers", "tokens with the same likeliest one", false,
     [](const MeasuredRecipe& m) { return m.top1; },
     [](const MeasuredRecipe& m) { return fmt::format("{:.2f} %", 100 * m.top1); }},
    {"perplexity", "over the float model's", true, [](const MeasuredRecipe& m) { return m.ratio; },
     [](const MeasuredRecipe& m) { return fmt::format("x {:.4f}", m.ratio); }},
    {"latency", "tokens/s of decoding here", false,
     [](const MeasuredRecipe& m) { return m.decode; },
     [](const MeasuredRecipe& m) { return fmt::format("{:.3g}", m.decode); }},
    {"long prompts", "tokens/s of prefill here", false,
     [](const MeasuredRecipe& m) { return m.prefill; },
     [](const MeasuredRecipe& m) { return fmt::format("{:.3g}", m.prefill); }},
    {"energy", "joules a token here", true, [](const MeasuredRecipe& m) { return m.joules; },
     [](const MeasuredRecipe& m) {
       return m.joules > 0 ? fmt::format("{:.3g}", m.joules) : std::string("unknown");
     }},
};

Result<std::vector<Column>> measure(const MatrixOptions& o) {
  std::vector<Column> out;
  Progress progress("way", static_cast<int64_t>(ways().size()));
  for (const Way& way : ways()) {
    progress.step(static_cast<int64_t>(out.size()), way.name);
    Column column{way.name, way.recipe, {}};
    auto pass = [&](const char* flag, const std::string& value) {
      if (way.calibrated && !value.empty())
        column.recipe.insert(column.recipe.end(), {flag, value});
    };
    pass("--calibration", o.calibration);
    pass("--windows", o.windows);
    pass("--window-length", o.window_length);
    column.seen = NB_TRY(
        measure_recipe({o.model, o.text, o.tokens, /*speed=*/true, o.prompt}, column.recipe));
    out.push_back(std::move(column));
  }
  return out;
}

// Whether this column's figure is the goal's best; nothing is where no figure is known.
bool is_best(const Goal& goal, const Column& column, const std::vector<Column>& all) {
  double own = goal.figure(column.seen);
  return own > 0 && std::all_of(all.begin(), all.end(), [&](const Column& other) {
           double theirs = goal.figure(other.seen);
           return goal.small ? own <= theirs : own >= theirs;
         });
}

std::string command_of(const MatrixOptions& o, const Column& column) {
  return command_line(quantize_arguments(o.model, "OUT", column.recipe));
}

std::string heading(const MatrixOptions& o) {
  return fmt::format("Measured on {}, held against the float model on {}{}.", cpu_name(), o.text,
                     o.tokens > 0 ? fmt::format(" (first {} tokens)", o.tokens) : "");
}

std::string markdown(const MatrixOptions& o, const std::vector<Column>& columns) {
  std::string out = fmt::format(
      "# Ways to quantize {}\n\n{} The best of a row is bold.\n\n| goal |", o.model, heading(o));
  for (const Column& c : columns) out += fmt::format(" {} |", c.name);
  out += "\n|---|";
  for (size_t i = 0; i < columns.size(); ++i) out += "---|";
  for (const Goal& goal : kGoals) {
    out += fmt::format("\n| {}: {} |", goal.name, goal.what);
    for (const Column& c : columns) {
      std::string shown = goal.shown(c.seen);
      out +=
          is_best(goal, c, columns) ? fmt::format(" **{}** |", shown) : fmt::format(" {} |", shown);
    }
  }
  out += "\n\n";
  for (const Column& c : columns)
    out +=
        fmt::format("- {} ({:.3f} bits per weight): `{}`\n", c.name, c.seen.bits, command_of(o, c));
  return out;
}

std::string html(const MatrixOptions& o, const std::vector<Column>& columns) {
  std::string out =
      "<h1>Ways to quantize " + html_text(o.model) + "</h1>\n<p>" + html_text(heading(o)) +
      " The best of a row is green.</p>\n<div class=\"wide\"><table>\n<tr><th>goal</th>";
  for (const Column& c : columns) out += "<th>" + html_text(c.name) + "</th>";
  out += "</tr>\n";
  for (const Goal& goal : kGoals) {
    out += fmt::format("<tr><td>{}<br><span class=\"soft\">{}</span></td>", goal.name, goal.what);
    for (const Column& c : columns)
      out += fmt::format("<td{}>{}</td>", is_best(goal, c, columns) ? " class=\"good\"" : "",
                         html_text(goal.shown(c.seen)));
    out += "</tr>\n";
  }
  out += "</table></div>\n<h2>How each is made</h2>\n<pre>";
  for (const Column& c : columns)
    out += html_text(
        fmt::format("# {}, {:.3f} bits per weight\n{}\n", c.name, c.seen.bits, command_of(o, c)));
  return html_page("Ways to quantize " + o.model, out + "</pre>\n");
}

Json column_json(const MatrixOptions& o, const Column& c) {
  const MeasuredRecipe& m = c.seen;
  return {{"way", c.name},
          {"command", command_of(o, c)},
          {"bpw", m.bits},
          {"bytes", m.bytes},
          {"kl_mean", m.kl},
          {"top1", m.top1},
          {"perplexity_ratio", m.ratio},
          {"decode_tokens_per_second", m.decode},
          {"prefill_tokens_per_second", m.prefill},
          {"joules_a_token", m.joules > 0 ? Json(m.joules) : Json(nullptr)}};
}

}  // namespace

Result<int> write_matrix(const MatrixOptions& o) {
  bool page = o.output.ends_with(".html");
  if (!page && !o.output.ends_with(".md"))
    return usage("--matrix needs -o FILE.md or -o FILE.html");
  if (o.text.empty()) return usage("--matrix needs --text, a held-out text");
  std::vector<Column> columns = NB_TRY(measure(o));
  NB_OK(write_file(o.output, page ? html(o, columns) : markdown(o, columns)));
  if (!o.json) {
    put_line("{}: {} ways, {} goals", o.output, columns.size(), std::size(kGoals));
    return 0;
  }
  Json list = Json::array();
  for (const Column& c : columns) list.push_back(column_json(o, c));
  put_json({{"model", o.model}, {"output", o.output}, {"ways", list}});
  return 0;
}

}  // namespace nibble
