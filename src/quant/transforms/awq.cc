// AWQ's scale search: columns that meet large inputs are scaled up before rounding, so that they
// lose less of themselves; what makes the inputs is scaled down.
// Source: Lin et al., arXiv 2306.00978, and the search of github.com/casper-hansen/AutoAWQ
// (quantizer.py), the second of whose rules ("duo") also looks at the weights.
#include <algorithm>
#include <cmath>

#include "quant/transforms/fold_judge.h"

namespace nibble {
namespace {

constexpr int kSteps = 20;           // exponents 0, .05 .. .95
constexpr int64_t kJudgeRows = 512;  // of each reader; rows are alike enough
constexpr double kLeast = 1e-4;

// Per channel: the inputs' root mean square.
std::vector<double> input_size(const InputStatistics& input, const Fold& fold) {
  auto channels = static_cast<size_t>(fold.channels);
  std::vector<double> sum(channels), count(channels);
  for (size_t j = 0; j < fold.channel_of.size(); ++j) {
    auto c = static_cast<size_t>(fold.channel_of[j]);
    sum[c] += input.diagonal(static_cast<int64_t>(j)) / static_cast<double>(input.tokens());
    ++count[c];
  }
  for (size_t c = 0; c < channels; ++c) sum[c] = std::sqrt(sum[c] / count[c]);
  return sum;
}

// Per channel: the readers' mean of |w| / the largest of its group.
std::vector<double> weight_size(FloatBlock& block, const Fold& fold) {
  auto channels = static_cast<size_t>(fold.channels);
  std::vector<double> sum(channels), count(channels);
  for (Role role : fold.readers) {
    const FloatMatrix& m = block.matrix(role);
    int64_t group = m.scheme.group_size(m.k);
    for (int64_t r = 0; r < m.n; ++r)
      for (int64_t g = 0; g < m.k; g += group) {
        const float* w = m.w.data() + r * m.k;
        int64_t end = std::min(m.k, g + group);
        float most = 1e-12f;
        for (int64_t j = g; j < end; ++j) most = std::max(most, std::fabs(w[j]));
        for (int64_t j = g; j < end; ++j) {
          auto c = static_cast<size_t>(fold.channel_of[static_cast<size_t>(j)]);
          sum[c] += static_cast<double>(std::fabs(w[j])) / most;
          ++count[c];
        }
      }
  }
  for (size_t c = 0; c < channels; ++c) sum[c] /= count[c];
  return sum;
}

std::vector<float> candidate(const std::vector<double>& x, const std::vector<double>& w,
                             double exponent, bool duo) {
  std::vector<float> s;
  double low = INFINITY, high = 0;
  for (size_t c = 0; c < x.size(); ++c) {
    double v = std::pow(x[c], exponent);
    if (duo) v /= std::pow(w[c], 1 - exponent) + kLeast;
    v = std::max(v, kLeast);
    low = std::min(low, v);
    high = std::max(high, v);
    s.push_back(static_cast<float>(v));
  }
  for (float& v : s) v /= static_cast<float>(std::sqrt(low * high));
  return s;
}

Status transform(const DecoderConfig& config, FloatBlock& block, const TransformOptions&) {
  for (const Fold& fold : all_folds(config, block)) {
    FoldJudge judge(block, fold, kJudgeRows);
    std::vector<double> x = input_size(block.input(fold.stage), fold), w = weight_size(block, fold);
    std::vector<float> best(static_cast<size_t>(fold.channels), 1.f);
    double lowest = judge.rounding_error(best);
    for (bool duo : {false, true})
      for (int step = 0; step < kSteps; ++step) {
        auto s = candidate(x, w, .05 * step, duo);
        if (double e = judge.rounding_error(s); e < lowest) {
          lowest = e;
          best = std::move(s);
        }
      }
    apply_fold(config, block, fold, std::move(best));
  }
  return {};
}

}  // namespace

extern const Transform kTransform_awq = {
    .name = "awq",
    .summary = "columns that meet large inputs are scaled up before rounding; calibrated",
    .need = InputStatistics::Need::kHessian,
    .block = transform};

}  // namespace nibble
