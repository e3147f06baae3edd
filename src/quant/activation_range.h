// Ranges for activations that are quantized with one scale known beforehand.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace nibble {

// How the range is chosen from what calibration saw: its largest magnitude; the magnitude that
// 99.99 % stay below; the one whose 8-bit codes keep the distribution best (relative entropy, as
// in TensorRT: Migacz, "8-bit Inference with TensorRT", GTC 2017); the one of least squared error.
enum class RangeRule : uint8_t { kMinMax, kPercentile, kEntropy, kMse };
inline constexpr std::string_view kRangeRules[] = {"minmax", "percentile", "entropy", "mse"};
std::optional<RangeRule> parse_range_rule(std::string_view name);

// Magnitudes |x| counted in equal bins over [0, largest].
class MagnitudeHistogram {
 public:
  static constexpr size_t kBins = 2048;
  explicit MagnitudeHistogram(float largest) : largest_(largest), counts_(kBins) {}
  void add(std::span<const float> x);

  float largest() const { return largest_; }
  float width() const { return largest_ / kBins; }
  const std::vector<int64_t>& counts() const { return counts_; }

 private:
  float largest_;
  std::vector<int64_t> counts_;
};

// The magnitude that code 127 stands for: above 0 where the histogram's largest is.
float choose_range(const MagnitudeHistogram& seen, RangeRule rule);

}  // namespace nibble
