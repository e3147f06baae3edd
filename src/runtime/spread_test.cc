#include "runtime/spread.h"

#include <gtest/gtest.h>

namespace nibble {
namespace {

TEST(Spread, IsThatOfTheSortedValues) {
  Spread s = spread_of({5, 1, 3, 2, 4});
  EXPECT_EQ(s.median, 3);
  EXPECT_EQ(s.min, 1);
  EXPECT_EQ(s.q1, 2);
  EXPECT_EQ(s.q3, 4);
  EXPECT_EQ(s.max, 5);
}

TEST(Spread, LiesBetweenTwoValuesWhereItMust) {
  Spread s = spread_of({4, 2});
  EXPECT_EQ(s.median, 3);
  EXPECT_EQ(s.q1, 2.5);
  EXPECT_EQ(s.q3, 3.5);
}

TEST(Spread, OfOneValueOrNone) {
  Spread one = spread_of({7});
  EXPECT_EQ(one.min, 7);
  EXPECT_EQ(one.q1, 7);
  EXPECT_EQ(one.median, 7);
  EXPECT_EQ(one.q3, 7);
  EXPECT_EQ(one.max, 7);
  EXPECT_EQ(spread_of({}).median, 0);
}

}  // namespace
}  // namespace nibble
