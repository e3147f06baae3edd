#include "cli/mixed_flags.h"

#include "base/file.h"
#include "base/log.h"
#include "cli/common.h"
#include "report/pareto_svg.h"
#include "runtime/limits.h"

namespace nibble {
namespace {

constexpr double kTableStep = 1.02;  // sizes of the table's rows differ by so much at least

Result<std::vector<int64_t>> parse_groups(const std::string& text) {
  std::vector<int64_t> out;
  for (int32_t group : NB_TRY(parse_ids(text))) {
    if (group < 1) return usage("--groups takes numbers of columns, as 64,128");
    out.push_back(group);
  }
  if (out.empty()) return usage("--groups takes numbers of columns, as 64,128");
  return out;
}

bool names_blocks(const std::string& scheme) {
  Result<Recipe> rest = Recipe::build({{"rest", scheme, ""}});
  return rest && rest->blocks();
}

Result<MixedOptions> mixed_options(const MixedFlags& f, const RecipeFlags& recipe,
                                   const QuantizeOptions& job) {
  MixedOptions o;
  if ((f.bits > 0) + (f.milliseconds > 0) + !f.size.empty() != 1)
    return usage("give one of --target-bpw, --target-size and --target-latency");
  if (!recipe.file.empty() || !recipe.preset.empty())
    return usage("a target chooses the rules itself; leave --recipe and --preset out");
  if (f.bits > 0) o.bits = f.bits;
  if (!f.size.empty()) o.bytes = NB_TRY(parse_size(f.size));
  if (f.milliseconds > 0) {
    o.milliseconds = f.milliseconds;
    o.bandwidth = NB_TRY(LimitMeter::open()).look().read_bytes;
  }
  if (!f.groups.empty()) o.groups = NB_TRY(parse_groups(f.groups));
  o.gguf = targets_gguf(recipe, job);
  bool blocks = names_blocks(recipe.scheme);
  if (o.gguf && !f.groups.empty())
    return usage("--groups: GGUF's block types have groups of their own");
  if (o.gguf && !recipe.scheme.empty() && !blocks)
    return usage("{}: a GGUF file takes schemes of its own, as q4_k_m or q8_0, not {}", job.output,
                 recipe.scheme);
  if (!recipe.scheme.empty() && !blocks) o.symmetry = NB_TRY(Scheme::parse(recipe.scheme)).symmetry;
  RecipeFlags fixed = recipe;
  o.embedding = fixed.embedding == "auto";
  o.head = fixed.head == "auto";
  if (o.embedding) fixed.embedding.clear();
  if (o.head) fixed.head.clear();
  fixed.scheme = "w4";  // replaced by the rules
  fixed.options.try_emplace("method", "gptq");
  for (RecipeEntry& e : NB_TRY(entries_of(fixed)))
    if (e.key != "rest") o.entries.push_back(std::move(e));
  return o;
}

// Indices of the front's points that a table shows.
std::vector<size_t> thinned(const MixedResult& r) {
  std::vector<size_t> out;
  double last = 0;
  for (size_t i = 0; i < r.front.size(); ++i) {
    bool needed = i == r.chosen || i + 1 == r.front.size();
    if (!needed && r.front[i].bits < last * kTableStep) continue;
    out.push_back(i);
    last = r.front[i].bits;
  }
  return out;
}

Json point_json(const MixedPoint& p) {
  Json j = {{"bpw", p.bits}, {"bytes", p.bytes}, {"kl", p.kl}};
  if (p.milliseconds > 0) j["ms_a_token"] = p.milliseconds;
  return j;
}

ParetoPicture picture_of(const MixedResult& r) {
  auto point = [](const MixedPoint& p, const std::string& label) {
    return ParetoPoint{p.bits, p.kl, label};
  };
  const MixedPoint& chosen = r.front[r.chosen];
  ParetoPicture out;
  out.title = fmt::format("Least KL at every size; chosen: {:.3f} bits per weight, KL {:.4g}",
                          chosen.bits, chosen.kl);
  out.x_label = "bits per weight";
  out.y_label = "predicted KL, nats a token";
  for (const MixedPoint& p : r.front) out.line.push_back(point(p, ""));
  for (const auto& u : r.uniform) out.points.push_back(point(u.point, u.scheme));
  out.chosen = point(chosen, "");
  return out;
}

}  // namespace

void add_mixed_options(CLI::App& app, MixedFlags& f) {
  app.add_option("--target-bpw", f.bits,
                 "Mixed precision: bits and groups of each part by measured sensitivity, so many "
                 "bits per weight at most; --scheme says symmetric or not, for a GGUF file (its "
                 "name, or --scheme q4_k) block types are chosen, --embedding auto and --head auto "
                 "let them take part")
      ->check(CLI::PositiveNumber);
  app.add_option("--target-size", f.size, "The same, by bytes of all tensors, as 500MB");
  app.add_option("--target-latency", f.milliseconds,
                 "The same, by milliseconds in which this machine reads a token's weights")
      ->check(CLI::PositiveNumber);
  app.add_option("--groups", f.groups, "Group sizes to choose from (default: 64,128)");
  app.add_option("--pareto", f.picture, "Write the front as a picture")->type_name("FILE.svg");
}

bool targets_gguf(const RecipeFlags& recipe, const QuantizeOptions& job) {
  return job.output.ends_with(".gguf") || names_blocks(recipe.scheme);
}

Result<MixedResult> choose_bits(const MixedFlags& f, const RecipeFlags& recipe,
                                QuantizeOptions& job) {
  MixedOptions options = NB_TRY(mixed_options(f, recipe, job));
  MixedResult result = NB_TRY(allocate_bits(job, options));
  std::vector<RecipeEntry> entries = options.entries;
  entries.insert(entries.end(), result.rules.begin(), result.rules.end());
  job.recipe = NB_TRY(Recipe::build(entries));
  if (!f.picture.empty()) NB_OK(write_file(f.picture, pareto_svg(picture_of(result))));
  return result;
}

Json mixed_json(const MixedResult& r) {
  Json front = Json::array(), uniform = Json::array();
  for (size_t i : thinned(r)) front.push_back(point_json(r.front[i]));
  for (const auto& u : r.uniform) {
    uniform.push_back({{"scheme", u.scheme}});
    uniform.back().update(point_json(u.point));
  }
  return {{"chosen", point_json(r.front[r.chosen])}, {"front", front}, {"uniform", uniform}};
}

void print_mixed(const MixedResult& r) {
  auto row = [](const MixedPoint& p, const std::string& mark) {
    std::string time = p.milliseconds > 0 ? fmt::format("{:>10.4g}", p.milliseconds) : "";
    put_line("  {:>8.3f}{:>12}{:>12.6f}{}{}", p.bits, bytes_text(p.bytes), p.kl, time, mark);
  };
  put_line("  {:>8}{:>12}{:>12}{}", "bits", "tensors", "KL",
           r.front[0].milliseconds > 0 ? "  ms/token" : "");
  for (size_t i : thinned(r)) row(r.front[i], i == r.chosen ? "  chosen" : "");
  for (const auto& u : r.uniform) row(u.point, "  " + u.scheme + " throughout");
}

}  // namespace nibble
