#include "quant/activation_range.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace nibble {
namespace {

constexpr int kLevels = 127;      // codes of one sign
constexpr double kShare = .9999;  // kPercentile's
// What Q is taken for where it is 0 and P, given the clipped values, is not.
constexpr double kLeastShare = 1e-4 / MagnitudeHistogram::kBins;
constexpr size_t kBins = MagnitudeHistogram::kBins;

size_t percentile_bins(const std::vector<int64_t>& counts) {
  int64_t total = std::accumulate(counts.begin(), counts.end(), int64_t{0}), seen = 0;
  auto wanted = static_cast<int64_t>(std::ceil(kShare * static_cast<double>(total)));
  size_t bins = 0;
  while (bins < kBins && seen < wanted) seen += counts[bins++];
  return std::max<size_t>(bins, 1);
}

// KL(P | Q) where P is the first `bins` bins with all beyond clipped into the last, and Q the same
// bins seen through kLevels levels: each level's count spread evenly over its bins that are not
// empty.
double entropy_of(const std::vector<int64_t>& counts, size_t bins) {
  double total = 0, clipped = 0, quantized = 0;
  for (size_t i = 0; i < kBins; ++i) {
    total += static_cast<double>(counts[i]);
    (i < bins ? quantized : clipped) += static_cast<double>(counts[i]);
  }
  if (quantized == 0) return INFINITY;
  double kl = 0;
  for (size_t level = 0; level < kLevels; ++level) {
    size_t first = level * bins / kLevels, last = (level + 1) * bins / kLevels;
    double sum = 0, filled = 0;
    for (size_t i = first; i < last; ++i) {
      sum += static_cast<double>(counts[i]);
      filled += counts[i] > 0;
    }
    for (size_t i = first; i < last; ++i) {
      double p = static_cast<double>(counts[i]) + (i + 1 == bins ? clipped : 0);
      if (p == 0) continue;
      double q = counts[i] > 0 ? sum / filled / quantized : kLeastShare;
      kl += p / total * std::log(p / total / q);
    }
  }
  return kl;
}

// Squared error of rounding inside the range and of clipping beyond it.
double squared_error(const std::vector<int64_t>& counts, size_t bins) {
  double error = 0, step = static_cast<double>(bins) / kLevels;  // in bins
  for (size_t i = 0; i < kBins; ++i) {
    double x = static_cast<double>(i) + .5;
    double back = std::min<double>(kLevels, std::nearbyint(x / step)) * step;
    error += static_cast<double>(counts[i]) * (x - back) * (x - back);
  }
  return error;
}

// The number of bins from kLevels up that makes `cost` least.
template <class Cost>
size_t least(const std::vector<int64_t>& counts, Cost cost) {
  size_t best = kBins;
  double lowest = cost(counts, kBins);
  for (size_t bins = kBins - 1; bins > kLevels; --bins)
    if (double c = cost(counts, bins); c < lowest) {
      lowest = c;
      best = bins;
    }
  return best;
}

}  // namespace

std::optional<RangeRule> parse_range_rule(std::string_view name) {
  for (size_t i = 0; i < std::size(kRangeRules); ++i)
    if (kRangeRules[i] == name) return static_cast<RangeRule>(i);
  return std::nullopt;
}

void MagnitudeHistogram::add(std::span<const float> x) {
  if (!(largest_ > 0)) return;
  float per = kBins / largest_;
  for (float v : x) ++counts_[std::min(kBins - 1, static_cast<size_t>(std::fabs(v) * per))];
}

float choose_range(const MagnitudeHistogram& seen, RangeRule rule) {
  size_t bins = kBins;
  if (rule == RangeRule::kPercentile) bins = percentile_bins(seen.counts());
  if (rule == RangeRule::kEntropy) bins = least(seen.counts(), entropy_of);
  if (rule == RangeRule::kMse) bins = least(seen.counts(), squared_error);
  return bins == kBins ? seen.largest() : static_cast<float>(bins) * seen.width();
}

}  // namespace nibble
