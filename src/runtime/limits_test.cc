#include "runtime/limits.h"

#include <gtest/gtest.h>

#include "kernels/kernels.h"

namespace nibble {
namespace {

TEST(Limits, AreThoseOfAMachine) {
  auto meter = LimitMeter::open();
  ASSERT_TRUE(meter) << meter.error().message;
  Limits seen = meter->look();
  EXPECT_GT(seen.read_bytes, 0);
  EXPECT_LT(seen.read_bytes, 5e12);  // above: the reads were optimized away
  EXPECT_EQ(seen.macs > 0, multiply_registers(1) > 0);
  EXPECT_LT(seen.macs, 1e16);  // above: so were the multiplications
}

TEST(Limits, MultiplicationsAreCounted) {
  EXPECT_EQ(multiply_registers(0), 0);
  EXPECT_EQ(multiply_registers(7), 7 * multiply_registers(1));
}

}  // namespace
}  // namespace nibble
