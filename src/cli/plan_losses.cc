#include "cli/plan_losses.h"

#include <algorithm>
#include <cmath>

#include "base/file.h"
#include "base/log.h"
#include "cli/common.h"
#include "cli/measured_recipe.h"
#include "cli/sizes.h"
#include "text/tokenizer.h"

namespace nibble {
namespace {

// What is measured without being asked for: two minutes' work of two cores at most.
constexpr int64_t kMostUnasked = 200'000'000;  // parameters
constexpr int64_t kTokensUnasked = 2048;

std::string method_of(const PlanFlags& f, const PlanRow& row) {
  return f.calibration.empty() || row.form.blocks->bits == 8 ? "rtn" : "gptq";
}

// Why this model is not made and measured unasked; empty: it is.
Result<std::string> why_not(const std::string& model, const DecoderConfig& config) {
  int64_t parameters = 0;
  for (const RoleSize& r : NB_TRY(parameters_by_role(config))) parameters += r.parameters;
  if (parameters > kMostUnasked)
    return fmt::format("to make and measure every scheme of {:.2g} billion parameters takes long",
                       static_cast<double>(parameters) / 1e9);
  if (!NB_TRY(has_weights(model))) return std::string("there are no weights to quantize");
  if (!quantized_linears(NB_TRY(Weights::open(model))).empty())
    return std::string("the model is quantized already");
  if (!has_tokenizer(model)) return std::string("the model has no tokenizer");
  return std::string();
}

Result<LossSource> source_of(const PlanFlags& f, const DecoderConfig& config) {
  LossSource out{.text = f.text, .tokens = f.tokens, .estimate = {}, .unknown = {}};
  if (!f.text.empty()) return out;
  out.unknown = NB_TRY(why_not(f.model, config));
  if (!out.unknown.empty()) return out;
  std::string own = f.model + "/held_out.txt";
  auto embedded = find_data("models/tales-3.7m");
  if (path_exists(own))
    out.text = own;
  else if (embedded)
    out.text = *embedded + "/held_out.txt";
  else
    out.unknown = "there is no held-out text";
  if (f.tokens == 0) out.tokens = kTokensUnasked;
  return out;
}

Status measure_losses(const PlanFlags& f, const LossSource& source, std::vector<PlanRow>& rows) {
  if (source.text.empty()) return {};
  Progress progress("scheme", static_cast<int64_t>(rows.size()));
  for (size_t i = 0; i < rows.size(); ++i) {
    progress.step(static_cast<int64_t>(i), rows[i].name);
    if (rows[i].arguments.empty()) continue;
    MeasuredRecipe seen = NB_TRY(measure_recipe(
        {f.model, source.text, source.tokens, /*speed=*/false}, recipe_of(f, rows[i])));
    rows[i].loss = PlanLoss{seen.ratio - 1, seen.kl, seen.top1};
  }
  return {};
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
  const std::string& text = f.calibration.empty() ? f.text : f.calibration;
  LossEstimate seen = NB_TRY(estimate_losses(f.model, text, questions, *made[0]->form.head));
  for (size_t i = 0; i < made.size(); ++i)
    made[i]->loss =
        PlanLoss{.increase = std::expm1(seen.kl[i]), .kl = seen.kl[i], .estimated = true};
  return seen;
}

}  // namespace

std::vector<std::string> recipe_of(const PlanFlags& f, const PlanRow& row) {
  std::vector<std::string> out = row.arguments;
  std::string method = method_of(f, row);
  out.insert(out.end(), {"--method", method});
  if (method != "rtn") out.insert(out.end(), {"--calibration", f.calibration});
  return out;
}

Result<LossSource> find_losses(const PlanFlags& f, const DecoderConfig& config,
                               std::vector<PlanRow>& rows) {
  LossSource out;
  if (std::ranges::all_of(rows, [](const PlanRow& r) { return r.arguments.empty(); })) return out;
  if (f.quick) {
    out.estimate = NB_TRY(estimate_row_losses(f, rows));
    return out;
  }
  out = NB_TRY(source_of(f, config));
  // Said before the work, not after it.
  if (!f.max_loss.empty() && !out.unknown.empty())
    return usage("--max-loss needs a loss, and {}: give --text, or --quick for an estimate",
                 out.unknown);
  NB_OK(measure_losses(f, out, rows));
  return out;
}

}  // namespace nibble
