#include "base/deferred_sync.h"

#include <gtest/gtest.h>

#include <thread>

namespace nibble {
namespace {

TEST(DeferredSync, TakesTheSyncsOfItsFolderAlone) {
  std::thread::id ran;
  auto sync = [&]() -> Status {
    ran = std::this_thread::get_id();
    return {};
  };
  EXPECT_FALSE(DeferredSync::take("a", sync));
  DeferredSync a("a");
  EXPECT_FALSE(DeferredSync::take("b", sync));
  EXPECT_EQ(ran, std::thread::id{});
  EXPECT_TRUE(DeferredSync::take("a", sync));
  EXPECT_TRUE(a.finish());
  EXPECT_NE(ran, std::thread::id{});
  EXPECT_NE(ran, std::this_thread::get_id());
}

TEST(DeferredSync, AnErrorIsToldWhenItIsFinished) {
  DeferredSync a("a");
  EXPECT_TRUE(DeferredSync::take("a", [] { return Status{}; }));
  EXPECT_TRUE(DeferredSync::take("a", []() -> Status { return fail("the disk is gone"); }));
  EXPECT_TRUE(DeferredSync::take("a", []() -> Status { return fail("still"); }));
  Status done = a.finish();
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().message, "the disk is gone");
  EXPECT_TRUE(a.finish());  // told once
}

TEST(DeferredSync, WaitsWhereNobodyFinishes) {
  bool ran = false;
  {
    DeferredSync a("a");
    EXPECT_TRUE(DeferredSync::take("a", [&]() -> Status {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      ran = true;
      return {};
    }));
  }
  EXPECT_TRUE(ran);
}

}  // namespace
}  // namespace nibble
