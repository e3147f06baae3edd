#include "cli/plan_model.h"

#include <cmath>

#include "base/file.h"
#include "base/log.h"
#include "cli/child.h"
#include "cli/common.h"
#include "cli/machine.h"
#include "cli/measured_recipe.h"
#include "cli/plan_matrix.h"
#include "cli/plan_validation.h"
#include "cli/sizes.h"
#include "quant/loss_estimate.h"
#include "report/pareto_svg.h"

namespace nibble {
namespace {

constexpr int64_t kUsualContext = 2048;

Result<PlanBudget> budget_of(const PlanFlags& f) {
  PlanBudget out;
  if (f.latency > 0) out.latency = f.latency / 1e3;
  if (!f.ram.empty()) out.memory = NB_TRY(parse_size(f.ram));
  if (f.max_loss.empty()) return out;
  out.increase = parse_share(f.max_loss);
  if (!out.increase || !(*out.increase >= 0))
    return usage("--max-loss takes a share as 1% or 0.01, not {}", in_quotes(f.max_loss));
  if (!f.quick && f.text.empty())
    return usage("--max-loss needs a loss: give --text, or --quick for an estimate");
  return out;
}

std::string method_of(const PlanFlags& f, const PlanRow& row) {
  return f.calibration.empty() || row.form.blocks->bits == 8 ? "rtn" : "gptq";
}

// The arguments of `nibble quantize MODEL` for this row.
std::vector<std::string> recipe_of(const PlanFlags& f, const PlanRow& row) {
  std::vector<std::string> out = row.arguments;
  std::string method = method_of(f, row);
  out.insert(out.end(), {"--method", method});
  if (method != "rtn") out.insert(out.end(), {"--calibration", f.calibration});
  return out;
}

// Of every row that is to be made, in place of making it. On a text of the model's own writing the
// logarithm of perplexity would rise by just the KL; elsewhere it rises by less.
Result<LossEstimate> estimate_row_losses(const PlanFlags& f, std::vector<PlanRow>& rows) {
  std::vector<LossQuestion> questions;
  std::vector<PlanRow*> made;
  for (PlanRow& row : rows) {
    if (row.arguments.empty()) continue;
    const Method* method = NB_TRY(find_method(method_of(f, row)));
    questions.push_back({*row.form.blocks, method});
    made.push_back(&row);
  }
  if (made.empty()) return LossEstimate{};
  const std::string& text = f.calibration.empty() ? f.text : f.calibration;
  LossEstimate seen = NB_TRY(estimate_losses(f.model, text, questions, *made[0]->form.head));
  for (size_t i = 0; i < made.size(); ++i)
    made[i]->loss =
        PlanLoss{.increase = std::expm1(seen.kl[i]), .kl = seen.kl[i], .estimated = true};
  return seen;
}

Status measure_losses(const PlanFlags& f, std::vector<PlanRow>& rows) {
  if (f.text.empty()) return {};
  Progress progress("scheme", static_cast<int64_t>(rows.size()));
  for (size_t i = 0; i < rows.size(); ++i) {
    progress.step(static_cast<int64_t>(i), rows[i].name);
    if (rows[i].arguments.empty()) continue;
    MeasuredRecipe seen =
        NB_TRY(measure_recipe({f.model, f.text, f.tokens, /*speed=*/false}, recipe_of(f, rows[i])));
    rows[i].loss = PlanLoss{seen.ratio - 1, seen.kl, seen.top1};
  }
  return {};
}

Json known(double value) { return value > 0 ? Json(value) : Json(nullptr); }

Json row_json(const PlanRow& r, const DeviceProfile& device) {
  Json j = {{"scheme", r.name},
            {"weights_bytes", r.cost.weights},
            {"kv_cache_bytes", r.cost.cache},
            {"activation_bytes", r.cost.activations},
            {"runtime_bytes", r.cost.runtime},
            {"total_bytes", r.cost.held()},
            {"read_bytes", r.cost.read},
            {"decode_seconds_floor", known(r.time.decode_floor)},
            {"decode_seconds", known(r.time.decode)},
            {"prefill_seconds_floor", known(r.time.prefill_floor)},
            {"prefill_seconds", known(r.time.prefill)},
            {"joules_a_token", known(device.watts * r.time.decode)},
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

void print_rows(const PlanFlags& f, const std::vector<PlanRow>& rows, const DeviceProfile& device,
                const LossEstimate& estimate) {
  put_line("{} on {} ({:.3g} GB/s, {} usable), {} tokens of context:", f.model, device.slug,
           device.bandwidth / 1e9, bytes_text(static_cast<int64_t>(device.usable)), f.context);
  put_line("  {:<13} {:>9} {:>9} {:>10} {:>9} {:>9} {:>9} {:>10}", "scheme", "weights", "in all",
           "ms/token", "at best", "tokens/s", fmt::format("pp{}", f.prompt), "perplexity");
  for (const PlanRow& r : rows)
    put_line("{} {:<13} {:>9} {:>9} {:>10.3g} {:>9.3g} {:>9.3g} {:>9} {:>10}  {}",
             r.best_of_its_pace ? "*" : " ", r.name,
             bytes_text(static_cast<int64_t>(r.cost.weights)),
             bytes_text(static_cast<int64_t>(r.cost.held())), 1e3 * r.time.decode,
             1e3 * r.time.decode_floor, 1 / r.time.decode,
             rate_text(static_cast<double>(f.prompt), r.time.prefill), loss_text(r), r.refused);
  put_line("  *: none is both faster and better; in all: with {} of cache and {} to work in",
           bytes_text(static_cast<int64_t>(rows[0].cost.cache)),
           bytes_text(static_cast<int64_t>(rows[0].cost.activations + rows[0].cost.runtime)));
  if (estimate.tokens > 0)
    put_line(
        "  ~: an estimate. Each part alone was measured at {} on {} tokens ({}); other schemes by "
        "how they round, parts added up",
        estimate.probe, estimate.tokens, estimate.windows);
}

ParetoPicture picture_of(const std::vector<PlanRow>& rows, const PlanRow* chosen,
                         const DeviceProfile& device) {
  ParetoPicture out;
  bool losses = std::all_of(rows.begin(), rows.end(), [](const PlanRow& r) { return !!r.loss; });
  out.x_label = "ms a token, expected on " + device.name;
  bool estimated = std::any_of(rows.begin(), rows.end(),
                               [](const PlanRow& r) { return r.loss && r.loss->estimated; });
  out.y_label = losses ? std::string("KL, nats a token") + (estimated ? ", estimated" : "")
                       : "bits read a weight (loss unknown)";
  for (const PlanRow& r : rows) {
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

Result<std::vector<PlanRow>> rows_of(PlanFlags& f, const DeviceProfile& device,
                                     const PlanBudget& budget, LossEstimate& estimate) {
  DecoderConfig config = NB_TRY(read_model_config(f.model));
  NB_OK(parameters_by_role(config));  // sizes that are absurd
  if (f.context == 0) f.context = std::min(config.context, kUsualContext);
  std::vector<PlanRow> rows = plan_rows(config, device, f.context, f.prompt);
  if (f.quick)
    estimate = NB_TRY(estimate_row_losses(f, rows));
  else
    NB_OK(measure_losses(f, rows));
  judge_rows(rows, device, budget);
  return rows;
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
                 "Memory that all of it may take, as 4GB (default: what the device has to spare)");
  app.add_option("--max-loss", f.max_loss, "How much perplexity may rise, as 1%");
  app.add_option(
         "--context", f.context,
         fmt::format("Tokens of the cache (default: the model's, at most {})", kUsualContext))
      ->check(CLI::Range(1, 1 << 20));
  app.add_option("--prompt", f.prompt,
                 "Tokens of the prompt whose time is predicted (default: 512)")
      ->check(CLI::Range(1, 1 << 20));
  app.add_option("--goal", f.goal,
                 "What is best among what meets the bounds: latency, size, quality or energy "
                 "(default: quality)")
      ->type_name("NAME");
  app.add_option("--text", f.text,
                 "Held-out UTF-8 text: every scheme is really made and measured on it (default: "
                 "losses stay unknown)")
      ->type_name("FILE");
  app.add_option("--tokens", f.tokens, "Use only the first N tokens of the text")
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
  DeviceProfile device = NB_TRY(find_device(f.device));
  LossEstimate estimate;
  std::vector<PlanRow> rows = NB_TRY(rows_of(f, device, budget, estimate));
  const PlanRow* chosen = choose_row(rows, goal);
  if (!f.picture.empty())
    NB_OK(write_file(f.picture, pareto_svg(picture_of(rows, chosen, device))));
  if (f.json) {
    Json list = Json::array();
    for (const PlanRow& r : rows) list.push_back(row_json(r, device));
    Json j = {{"model", f.model},   {"device", device.slug}, {"context", f.context},
              {"prompt", f.prompt}, {"goal", f.goal},        {"schemes", list}};
    if (estimate.tokens > 0)
      j["estimate"] = {
          {"probe", estimate.probe}, {"tokens", estimate.tokens}, {"windows", estimate.windows}};
    j["chosen"] = chosen ? Json(chosen->name) : Json(nullptr);
    j["command"] = chosen ? Json(recommendation(f, *chosen)) : Json(nullptr);
    j["reason"] = chosen ? Json(nullptr) : Json(refusal(rows, device, budget));
    put_json(j);
  } else {
    if (!rows.empty()) print_rows(f, rows, device, estimate);
    if (chosen) put_line("{}", recommendation(f, *chosen));
  }
  if (!chosen) return fail("{}", refusal(rows, device, budget));
  return 0;
}

}  // namespace nibble
