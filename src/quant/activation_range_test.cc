#include "quant/activation_range.h"

#include <gtest/gtest.h>

#include <cmath>

#include "quant/python_random.h"

namespace nibble {
namespace {

// 200,000 values near a normal distribution of width 1, and one of 100.
MagnitudeHistogram mostly_small() {
  PythonRandom random(1);
  std::vector<float> x(200'000);
  for (float& v : x) {
    double sum = -6;
    for (int i = 0; i < 12; ++i) sum += random.uniform();
    v = static_cast<float>(sum);
  }
  x[777] = -100;
  MagnitudeHistogram h(100);
  h.add(x);
  return h;
}

TEST(ActivationRange, MinMaxIsTheLargest) {
  EXPECT_EQ(choose_range(mostly_small(), RangeRule::kMinMax), 100);
}

TEST(ActivationRange, OthersClipALonelyOutlier) {
  auto h = mostly_small();
  float percentile = choose_range(h, RangeRule::kPercentile);
  EXPECT_GT(percentile, 3.5);  // 99.99 % of a normal distribution: 3.89
  EXPECT_LT(percentile, 4.3);
  // A range over 127 bins at least, 6.2 here.
  EXPECT_LT(choose_range(h, RangeRule::kEntropy), 8);
  // One clipped value costs (100 - r)^2, rounding costs r^2 / 12 / 127^2 for each of the others.
  float mse = choose_range(h, RangeRule::kMse);
  EXPECT_GT(mse, 30);
  EXPECT_LT(mse, 70);
}

TEST(ActivationRange, UniformValuesAreNotClipped) {
  PythonRandom random(2);
  std::vector<float> x(100'000);
  for (float& v : x) v = static_cast<float>(random.uniform() * 2 - 1);
  MagnitudeHistogram h(1);
  h.add(x);
  for (RangeRule rule : {RangeRule::kPercentile, RangeRule::kEntropy, RangeRule::kMse})
    EXPECT_GT(choose_range(h, rule), .97) << kRangeRules[static_cast<size_t>(rule)];
}

TEST(ActivationRange, NamesAreParsed) {
  for (size_t i = 0; i < std::size(kRangeRules); ++i)
    EXPECT_EQ(static_cast<size_t>(*parse_range_rule(kRangeRules[i])), i);
  EXPECT_FALSE(parse_range_rule("magic"));
}

}  // namespace
}  // namespace nibble
