#include "cli/plan_model.h"

#include <cctype>

#include "base/file.h"
#include "cli/child.h"
#include "cli/common.h"
#include "cli/machine.h"
#include "cli/measured_recipe.h"
#include "cli/plan_losses.h"
#include "cli/plan_matrix.h"
#include "cli/plan_validation.h"
#include "cli/sizes.h"
#include "report/pareto_svg.h"

namespace nibble {
namespace {

constexpr int64_t kUsualContext = 2048;

// A number without a unit.
bool is_bare(const std::string& text) {
  return !text.empty() &&
         (std::isdigit(static_cast<unsigned char>(text.back())) || text.back() == '.');
}

// "4", "4GB", "500MB".
Result<double> memory_of(const std::string& text) {
  double out = NB_TRY(parse_size(is_bare(text) ? text + "GB" : text));
  if (out > 1e15)
    return usage("--ram: {} GB are beyond any device; bytes are written as 500MB", text);
  return out;
}

Result<PlanBudget> budget_of(const PlanFlags& f) {
  PlanBudget out;
  if (f.latency > 0) out.latency = f.latency / 1e3;
  if (!f.ram.empty()) out.memory = NB_TRY(memory_of(f.ram));
  if (f.max_loss.empty()) return out;
  out.increase = parse_share(f.max_loss.ends_with('%') ? f.max_loss : f.max_loss + "%");
  if (!out.increase || !(*out.increase >= 0))
    return usage("--max-loss takes per cent as 1 or 1%, not {}", in_quotes(f.max_loss));
  return out;
}

// A plan as it is printed.
struct Planned {
  DeviceProfile device;  // in its power mode
  std::string mode;      // empty: as the profile says
  std::vector<PlanRow> rows;
  const PlanRow* chosen = nullptr;  // of the rows
  LossSource losses;
};

Status set_mode(Planned& plan, const std::string& name) {
  for (const PowerMode& m : plan.device.modes) {
    if (m.name != name) continue;
    plan.mode = name;
    plan.device = plan.device.in(m);
    return {};
  }
  std::string known;
  for (const PowerMode& m : plan.device.modes) known += (known.empty() ? "" : ", ") + m.name;
  return usage("{} has no power mode {}; known: {}", plan.device.slug, in_quotes(name),
               known.empty() ? "none" : known);
}

Json known(double value) { return value > 0 ? Json(value) : Json(nullptr); }

Json row_json(const PlanRow& r) {
  Json j = {{"scheme", r.name},
            {"weights_bytes", r.cost.weights},
            {"kv_cache_bytes", r.cost.cache},
            {"activation_bytes", r.cost.activations},
            {"runtime_bytes", r.cost.runtime},
            {"total_bytes", r.cost.held()},
            {"read_bytes", r.cost.read},
            {"cache_read_bytes", r.cost.cache_read},
            {"decode_seconds_floor", known(r.time.decode_floor)},
            {"decode_seconds", known(r.time.decode)},
            {"prefill_seconds_floor", known(r.time.prefill_floor)},
            {"prefill_seconds", known(r.time.prefill)},
            {"joules_a_token", known(r.time.joules)},
            {"pareto", r.best_of_its_pace},
            {"refused", r.refused.empty() ? Json(nullptr) : Json(r.refused)}};
  j["loss"] = nullptr;
  if (r.loss)
    j["loss"] = {{"perplexity_increase", r.loss->increase},
                 {"kl_mean", r.loss->kl},
                 {"top1", r.loss->top1 ? Json(*r.loss->top1) : Json(nullptr)},
                 {"estimated", r.loss->estimated}};
  return j;
}

std::string loss_text(const PlanRow& r) {
  if (!r.loss) return "unknown";
  return fmt::format("{}{:+.2f} %", r.loss->estimated ? "~" : "", 100 * r.loss->increase);
}

std::string rate_text(double tokens, double seconds) {
  return seconds > 0 ? fmt::format("{:.3g}", tokens / seconds) : "unknown";
}

void print_losses(const LossSource& losses) {
  if (!losses.unknown.empty())
    put_line("  unknown: {}. Give --text and all are made, or --quick for an estimate",
             losses.unknown);
  if (!losses.text.empty())
    put_line("  perplexity: every scheme was made and measured on {}{}", losses.text,
             losses.tokens > 0 ? fmt::format(", {} tokens", losses.tokens) : "");
  if (losses.estimate.tokens > 0)
    put_line(
        "  ~: an estimate. Each part alone was measured at {} on {} tokens ({}); other schemes by "
        "how they round, parts added up",
        losses.estimate.probe, losses.estimate.tokens, losses.estimate.windows);
}

void print_plan(const PlanFlags& f, const Planned& plan) {
  const DeviceProfile& device = plan.device;
  put_line("{} on {}{} ({:.3g} GB/s, {} usable), {} tokens of context:", f.model, device.slug,
           plan.mode.empty() ? "" : " in power mode " + plan.mode, device.bandwidth / 1e9,
           bytes_text(static_cast<int64_t>(device.usable)), f.context);
  put_line("  {:<13} {:>9} {:>9} {:>10} {:>9} {:>9} {:>9} {:>9} {:>10}", "scheme", "weights",
           "in all", "ms/token", "at best", "tokens/s", "J/token", fmt::format("pp{}", f.prompt),
           "perplexity");
  for (const PlanRow& r : plan.rows)
    put_line("{} {:<13} {:>9} {:>9} {:>10.3g} {:>9.3g} {:>9.3g} {:>9} {:>9} {:>10}  {}",
             r.best_of_its_pace ? "*" : " ", r.name,
             bytes_text(static_cast<int64_t>(r.cost.weights)),
             bytes_text(static_cast<int64_t>(r.cost.held())), 1e3 * r.time.decode,
             1e3 * r.time.decode_floor, 1 / r.time.decode,
             r.time.joules > 0 ? fmt::format("{:.3g}", r.time.joules) : "unknown",
             rate_text(static_cast<double>(f.prompt), r.time.prefill), loss_text(r), r.refused);
  const ModelCost& cost = plan.rows[0].cost;
  put_line("  *: none is both faster and better; in all: with {} of cache and {} to work in",
           bytes_text(static_cast<int64_t>(cost.cache)),
           bytes_text(static_cast<int64_t>(cost.activations + cost.runtime)));
  put_line("  ms/token: of the {}th token, which reads {} of cache beside its weights", f.context,
           bytes_text(static_cast<int64_t>(cost.cache_read)));
  print_losses(plan.losses);
}

ParetoPicture picture_of(const Planned& plan) {
  ParetoPicture out;
  const PlanRow* chosen = plan.chosen;
  bool losses = std::ranges::all_of(plan.rows, [](const PlanRow& r) { return !!r.loss; });
  out.x_label = "ms a token, expected on " + plan.device.name;
  bool estimated =
      std::ranges::any_of(plan.rows, [](const PlanRow& r) { return r.loss && r.loss->estimated; });
  out.y_label = losses ? std::string("KL, nats a token") + (estimated ? ", estimated" : "")
                       : "bits read a weight (loss unknown)";
  for (const PlanRow& r : plan.rows) {
    double bits = 8 * r.cost.read / (r.cost.block_macs + r.cost.head_macs);
    ParetoPoint point{1e3 * r.time.decode, losses ? r.loss->kl : bits, r.name};
    out.points.push_back(point);
    if (r.best_of_its_pace) out.line.push_back(point);
    if (&r == chosen) out.chosen = point;
  }
  std::sort(out.line.begin(), out.line.end(),
            [](const ParetoPoint& a, const ParetoPoint& b) { return a.x < b.x; });
  out.title =
      chosen ? fmt::format("Chosen: {}, {:.3g} ms a token", chosen->name, 1e3 * chosen->time.decode)
             : "None meets every bound";
  return out;
}

std::string recommendation(const PlanFlags& f, const PlanRow& row) {
  if (row.arguments.empty()) return command_line({"run", f.model});
  return command_line(quantize_arguments(f.model, "OUT", recipe_of(f, row)));
}

Result<Planned> make_plan(PlanFlags& f, PlanGoal goal, const PlanBudget& budget) {
  Planned plan;
  plan.device = NB_TRY(find_device(f.device));
  if (!f.power_mode.empty()) NB_OK(set_mode(plan, f.power_mode));
  DecoderConfig config = NB_TRY(read_model_config(f.model));
  NB_OK(parameters_by_role(config));  // sizes that are absurd
  if (f.context == 0) f.context = std::min(config.context, kUsualContext);
  plan.rows = plan_rows(config, plan.device, f.context, f.prompt);
  plan.losses = NB_TRY(find_losses(f, config, plan.rows));
  if (goal == PlanGoal::kEnergy && f.power_mode.empty())
    if (const PowerMode* mode = thriftiest_mode(plan.rows, config, plan.device, budget, f.prompt)) {
      NB_OK(set_mode(plan, std::string(mode->name)));
      time_rows(plan.rows, config, plan.device, f.prompt);
    }
  judge_rows(plan.rows, plan.device, budget);
  plan.chosen = choose_row(plan.rows, goal);
  return plan;
}

Json plan_json(const PlanFlags& f, const Planned& plan, const PlanBudget& budget) {
  Json list = Json::array();
  for (const PlanRow& r : plan.rows) list.push_back(row_json(r));
  Json j = {{"model", f.model},     {"device", plan.device.slug}, {"power_mode", nullptr},
            {"context", f.context}, {"prompt", f.prompt},         {"goal", f.goal},
            {"schemes", list}};
  if (!plan.mode.empty()) j["power_mode"] = plan.mode;
  const LossSource& l = plan.losses;
  if (!l.text.empty())
    j["measured_on"] = {{"text", l.text},
                        {"tokens", l.tokens > 0 ? Json(l.tokens) : Json(nullptr)}};
  if (!l.unknown.empty()) j["losses_unknown"] = l.unknown;
  if (l.estimate.tokens > 0)
    j["estimate"] = {{"probe", l.estimate.probe},
                     {"tokens", l.estimate.tokens},
                     {"windows", l.estimate.windows}};
  const PlanRow* chosen = plan.chosen;
  j["chosen"] = chosen ? Json(chosen->name) : Json(nullptr);
  j["command"] = chosen ? Json(recommendation(f, *chosen)) : Json(nullptr);
  j["reason"] = chosen ? Json(nullptr) : Json(refusal(plan.rows, plan.device, budget));
  return j;
}

}  // namespace

void add_plan_options(CLI::App& app, PlanFlags& f) {
  app.add_option("--device", f.device,
                 "A device of `nibble devices`, a profile's file, or \"this\": the machine here, "
                 "measured now")
      ->type_name("NAME");
  app.add_option("--latency", f.latency, "Milliseconds that a token may take")
      ->check(CLI::PositiveNumber);
  app.add_option("--ram", f.ram,
                 "Memory that all of it may take: GB, or as 500MB (default: what the device has to "
                 "spare)")
      ->type_name("GB");
  app.add_option("--max-loss", f.max_loss, "How much perplexity may rise: per cent, as 1 or 1%")
      ->type_name("%");
  app.add_option(
         "--context", f.context,
         fmt::format("Tokens of the cache, at whose end a token is timed (default: the model's, at "
                     "most {})",
                     kUsualContext))
      ->check(CLI::Range(1, 1 << 20));
  app.add_option("--prompt", f.prompt,
                 "Tokens of the prompt whose time is predicted (default: 512)")
      ->check(CLI::Range(1, 1 << 20));
  app.add_option("--goal", f.goal,
                 "What is best among what meets the bounds: latency, size, quality or energy "
                 "(joules, in the power mode that takes the fewest) (default: quality)")
      ->type_name("NAME");
  app.add_option("--power-mode", f.power_mode,
                 "The device in this mode of its profile (default: as it is sold)")
      ->type_name("NAME");
  app.add_option(
         "--text", f.text,
         "Held-out UTF-8 text: every scheme is really made and measured on it (default, up "
         "to 200 million parameters: the model's held_out.txt or the embedded one's; beyond, "
         "losses stay unknown)")
      ->type_name("FILE");
  app.add_option(
         "--tokens", f.tokens,
         "Use only the first N tokens of the text (default: all of --text, 2048 of another)")
      ->check(CLI::PositiveNumber);
  app.add_option("--calibration", f.calibration, "Text for GPTQ (default: plain rounding)")
      ->type_name("FILE");
  app.add_flag(
      "--quick", f.quick,
      "Make nothing and estimate the losses: each part's sensitivity is measured at one scheme on "
      "--calibration, --text or the model's own writing");
  app.add_option("--pareto", f.picture, "Write a picture of all schemes")->type_name("FILE.svg");
  app.add_flag("--validate", f.validate,
               "Make every scheme, run it here, and hold the prediction against the clock; exit "
               "code 1 where one is more than 20 % off");
  app.add_flag("--matrix", f.matrix,
               "Make and measure every way of quantizing, and write goals against ways to -o; "
               "with --text, and --calibration for the methods that want one");
  app.add_option("-o,--output", f.output, "The matrix, FILE.md or FILE.html")->needs("--matrix");
  app.add_option("--windows", f.windows, "Its windows of calibration, as quantize takes them")
      ->needs("--matrix");
  app.add_option("--window-length", f.window_length, "Tokens of each, as quantize takes them")
      ->needs("--matrix");
}

Result<int> plan_model(PlanFlags& f) {
  PlanGoal goal = NB_TRY(parse_goal(f.goal));
  PlanBudget budget = NB_TRY(budget_of(f));
  f.model = NB_TRY(model_folder(f.model));
  if (f.validate) return validate_plan(f.model, f.prompt, f.json);
  if (f.matrix)
    return write_matrix({f.model, f.text, f.calibration, f.output, f.tokens, f.prompt, f.windows,
                         f.window_length, f.json});
  if (f.device.empty()) return usage("give --device; `nibble devices` lists them");
  Planned plan = NB_TRY(make_plan(f, goal, budget));
  if (!f.picture.empty() && !plan.rows.empty())
    NB_OK(write_file(f.picture, pareto_svg(picture_of(plan))));
  if (f.json) {
    put_json(plan_json(f, plan, budget));
  } else {
    if (!plan.rows.empty()) print_plan(f, plan);
    if (plan.chosen) put_line("{}", recommendation(f, *plan.chosen));
  }
  if (!plan.chosen) return fail("{}", refusal(plan.rows, plan.device, budget));
  return 0;
}

}  // namespace nibble
