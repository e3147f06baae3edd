#include "base/function.h"

#include <gtest/gtest.h>

#include <memory>

namespace nibble {
namespace {

TEST(FunctionRef, CallsWhatItRefersTo) {
  int calls = 0;
  auto count = [&](int by) { return calls += by; };
  FunctionRef<int(int)> ref = count, copy = ref;
  EXPECT_EQ(ref(2), 2);
  EXPECT_EQ(copy(3), 5);
}

TEST(InlineFunction, OwnsItsCallable) {
  auto held = std::make_shared<int>(7);
  std::weak_ptr<int> watch = held;
  {
    InlineFunction<int(), 16> first = [held = std::move(held)] { return *held; };
    InlineFunction<int(), 16> second = std::move(first);
    EXPECT_FALSE(static_cast<bool>(first));
    EXPECT_EQ(second(), 7);
    first = std::move(second);
    EXPECT_EQ(first(), 7);
    EXPECT_EQ(watch.use_count(), 1);
  }
  EXPECT_TRUE(watch.expired());
}

TEST(InlineFunction, WithoutACallableIsFalse) {
  EXPECT_FALSE(static_cast<bool>(InlineFunction<void(), 8>()));
}

}  // namespace
}  // namespace nibble
