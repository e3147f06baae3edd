#include "cli/job_estimate.h"

#include <gtest/gtest.h>

namespace nibble {
namespace {

double model(double blocks, double tokens) {
  return .5 + .25 * blocks + .01 * tokens + .002 * blocks * tokens;
}

TEST(SliceTimes, CarriesOnInStraightLines) {
  SliceTimes t{.few = {model(1, 4), model(2, 4)},
               .many = {model(1, 16), model(2, 16)},
               .few_count = 4,
               .many_count = 16};
  EXPECT_NEAR(t.at(32, 64), model(32, 64), 1e-9);
  EXPECT_NEAR(t.at(1, 4), model(1, 4), 1e-9);
}

TEST(SliceTimes, WithoutTokensOnlyBlocksCount) {
  SliceTimes t{.few = {1, 1.5}, .few_count = 3, .many_count = 3};
  EXPECT_NEAR(t.at(5, 3), 3, 1e-9);
}

TEST(SliceTimes, NoiseMakesNothingCheaper) {
  SliceTimes t{.few = {1, .9}, .many = {.8, .7}, .few_count = 1, .many_count = 2};
  EXPECT_EQ(t.at(100, 100), 1);
}

}  // namespace
}  // namespace nibble
