#include "quant/loss_estimate.h"

#include <algorithm>

#include "quant/job.h"
#include "quant/sensitivity.h"

namespace nibble {
namespace {

// Far enough from the float model that a few hundred tokens tell its KL, near enough that KL is
// still quadratic.
constexpr const char* kProbe = "w4g128-asym";
// Every part passes the held-back tokens, so that these decide what an estimate takes; all others
// pass the model once.
constexpr size_t kHeldWindows = 2, kHeldTokens = 256;
// Hessians want some thousands of tokens, what the inputs' squares are on average some hundreds.
constexpr int64_t kLength = 512, kFitHessian = 16, kFitDiagonal = 2;

Result<SplitWindows> windows_for(const std::string& model, const std::string& text,
                                 const Weights& weights, bool hessian, std::string& source) {
  CalibrationOptions options{
      .text = text,
      .windows = (hessian ? kFitHessian : kFitDiagonal) + static_cast<int64_t>(kHeldWindows),
      .length = std::min(kLength, weights.config().context),
      .few_suffice = !hessian};
  CalibrationSet set = NB_TRY(calibration_windows(model, weights, options));
  source = set.source;
  SplitWindows out{set.windows, {}};
  for (size_t i = 0; i < kHeldWindows && !out.fit.empty(); ++i) {
    out.held.push_back(out.fit.back());
    out.held.back().resize(std::min(out.held.back().size(), kHeldTokens));
    if (out.fit.size() > 1) out.fit.pop_back();  // a short text's one window serves both uses
  }
  return out;
}

}  // namespace

Result<LossEstimate> estimate_losses(const std::string& model, const std::string& text,
                                     const std::vector<LossQuestion>& questions,
                                     const Scheme& outer) {
  Weights weights = NB_TRY(Weights::open(model));
  QuantizeOptions source;
  source.model = model;
  NB_OK(check_source(source, weights));
  LossEstimate out;
  out.kl.resize(questions.size());
  out.probe = kProbe;
  std::vector<const Method*> methods;
  for (const LossQuestion& q : questions)
    if (std::find(methods.begin(), methods.end(), q.method) == methods.end())
      methods.push_back(q.method);
  bool hessian = std::any_of(methods.begin(), methods.end(), [](const Method* m) {
    return m->need >= InputStatistics::Need::kHessian;
  });
  SplitWindows windows = NB_TRY(windows_for(model, text, weights, hessian, out.windows));
  for (const auto& w : windows.held) out.tokens += static_cast<int64_t>(w.size());
  for (const Method* method : methods) {
    SensitivityOptions options;
    options.method = method;
    options.schemes = {NB_TRY(Scheme::parse(kProbe))};
    options.embedding = weights.config().tied_head;
    options.head = !options.embedding;
    options.outer = outer;
    for (const LossQuestion& q : questions)
      if (q.method == method) options.extrapolated.push_back(q.scheme);
    auto items = NB_TRY(measure_sensitivity(weights, options, windows));
    size_t at = 0;  // in options.extrapolated
    for (size_t i = 0; i < questions.size(); ++i) {
      if (questions[i].method != method) continue;
      ++at;
      for (const MeasuredItem& item : items)
        out.kl[i] += item.layers.empty() ? item.options.at(0).kl : item.options.at(at).kl;
    }
  }
  return out;
}

}  // namespace nibble
