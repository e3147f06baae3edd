#include "runtime/bandwidth.h"

#include <gtest/gtest.h>

namespace nibble {
namespace {

TEST(Bandwidth, IsThatOfAMemory) {
  auto rate = measure_read_bandwidth();
  ASSERT_TRUE(rate) << rate.error().message;
  EXPECT_GT(*rate, 2e8);   // below: not a stream
  EXPECT_LT(*rate, 5e12);  // above: the reads were optimized away
}

}  // namespace
}  // namespace nibble
