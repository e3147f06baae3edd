#include "base/scratch.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/memory.h"
#include "base/test_util.h"

namespace nibble {
namespace {

TEST(ScratchMemory, AFileIsNoAnonymousMemoryAndLeavesNothing) {
  TempFolder folder;
  constexpr int64_t kFloats = 16 << 20;
  ScratchMemory scratch = *ScratchMemory::create(kFloats, folder.path());
  int64_t before = resident_memory().anonymous;
  std::span<float> all = scratch.floats();
  ASSERT_EQ(all.size(), static_cast<size_t>(kFloats));
  EXPECT_EQ(all[12345], 0);
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<float>(i % 1000);
  EXPECT_LT(resident_memory().anonymous - before, 4 << 20);
  int64_t resident = resident_memory().file;
  scratch.rest(all);
  EXPECT_LT(resident_memory().file, resident - (kFloats * 3));
  for (size_t i = 0; i < all.size(); ++i) ASSERT_EQ(all[i], static_cast<float>(i % 1000));
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(ScratchMemory, PrivateMemoryMovesAndKeepsItsValues) {
  ScratchMemory a = *ScratchMemory::create(1000, "");
  a.floats()[999] = 7;
  ScratchMemory b = std::move(a);
  b.rest(b.floats());
  EXPECT_EQ(b.floats()[999], 7);
  EXPECT_TRUE(ScratchMemory::create(0, "")->floats().empty());
}

TEST(ScratchMemory, MissingRoomIsAnErrorAtOnce) {
  TempFolder folder;
  EXPECT_FALSE(ScratchMemory::create(int64_t{1} << 50, folder.path()));
  EXPECT_FALSE(ScratchMemory::create(int64_t{1} << 62, ""));
  EXPECT_FALSE(ScratchMemory::create(10, folder.path() + "/none"));
}

}  // namespace
}  // namespace nibble
