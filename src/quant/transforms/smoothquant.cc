// SmoothQuant: moves the activations' outliers into the weights that read them.
// Source: Xiao et al., arXiv 2211.10438, equation 4.
#include <algorithm>
#include <cmath>

#include "quant/transforms/fold_judge.h"

namespace nibble {
namespace {

constexpr double kLeast = 1e-5;  // of either maximum, as in the paper's code
constexpr int64_t kJudgeRows = 512;

std::vector<float> scales_for(double alpha, const InputStatistics& input,
                              const std::vector<float>& weights) {
  std::vector<float> s;
  for (size_t j = 0; j < weights.size(); ++j) {
    double x = std::max(input.absmax(static_cast<int64_t>(j)), kLeast);
    double w = std::max<double>(weights[j], kLeast);
    s.push_back(static_cast<float>(
        std::clamp(std::pow(x, alpha) / std::pow(w, 1 - alpha), kLeast, 1 / kLeast)));
  }
  return s;
}

// What 8 bits on both sides cost the readers' outputs: their weights' rounding, and the inputs',
// uniform noise of a step of the largest input / 127.
double expected_error(const FoldJudge& judge, const InputStatistics& input,
                      const std::vector<float>& s) {
  double top = 0;
  for (size_t j = 0; j < s.size(); ++j)
    top = std::max(top, input.absmax(static_cast<int64_t>(j)) / s[j]);
  return judge.rounding_error(s) + top / 127 * top / 127 / 12 * judge.noise_error(s);
}

Status transform(const DecoderConfig& config, FloatBlock& block, const TransformOptions& options) {
  for (const Fold& fold : norm_folds(config, block)) {
    std::vector<float> weights = column_absmax(block, fold), best;
    const InputStatistics& input = block.input(fold.stage);
    if (options.alpha > 0) {
      best = scales_for(options.alpha, input, weights);
    } else {
      FoldJudge judge(block, fold, kJudgeRows);
      double lowest = INFINITY;
      for (int step = 8; step <= 19; ++step) {  // .4 to .95
        auto s = scales_for(.05 * step, input, weights);
        if (double e = expected_error(judge, input, s); e < lowest || best.empty()) {
          lowest = e;
          best = std::move(s);
        }
      }
    }
    apply_fold(config, block, fold, std::move(best));
  }
  return {};
}

}  // namespace

extern const Transform kTransform_smoothquant = {
    .name = "smoothquant",
    .summary = "input outliers move into the weights that read a norm; for int8 activations",
    .need = InputStatistics::Need::kHessian,
    .block = transform};

}  // namespace nibble
