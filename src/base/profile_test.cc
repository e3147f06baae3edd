#include "base/profile.h"

#include <gtest/gtest.h>

namespace nibble {
namespace {

TEST(Profile, CountsOnlyWhileItIsTaken) {
  {
    OperatorTimer before("linear", 1, 1);
  }
  profile_start();
  {
    OperatorTimer a("linear", 10, 100);
  }
  {
    OperatorTimer b("attention", 5, 7);
  }
  {
    OperatorTimer c("linear", 20, 200);
  }
  std::vector<OperatorProfile> profile = profile_take();
  {
    OperatorTimer after("linear", 1, 1);
  }
  ASSERT_EQ(profile.size(), 2u);
  EXPECT_EQ(profile[0].name, "linear");
  EXPECT_EQ(profile[0].calls, 2);
  EXPECT_EQ(profile[0].bytes, 30);
  EXPECT_EQ(profile[0].macs, 300);
  EXPECT_GE(profile[0].seconds, 0);
  EXPECT_EQ(profile[1].name, "attention");
  EXPECT_TRUE(profile_take().empty());
}

TEST(Profile, ATimerThatOutlivesTheProfileIsNotCounted) {
  profile_start();
  {
    OperatorTimer open("linear", 1, 1);
    EXPECT_TRUE(profile_take().empty());
  }
  profile_start();
  EXPECT_TRUE(profile_take().empty());
}

}  // namespace
}  // namespace nibble
