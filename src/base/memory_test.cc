#include "base/memory.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/file.h"
#include "base/test_util.h"

namespace nibble {
namespace {

constexpr size_t kBytes = 64 << 20;

TEST(Memory, KnowsWhatWasWrittenFromWhatWasMapped) {
  TempFolder folder;
  std::string path = folder / "file";
  ASSERT_TRUE(succeeds(write_file(path, std::string(kBytes, 'x'))));
  ResidentMemory before = resident_memory();
  EXPECT_GT(before.anonymous, 0);
  auto file = MappedFile::open(path);
  ASSERT_TRUE(succeeds(file));
  int sum = 0;
  for (size_t i = 0; i < kBytes; i += 512) sum += static_cast<int>((*file)->bytes()[i]);
  ASSERT_NE(sum, 0);
  ResidentMemory mapped = resident_memory();
  EXPECT_GE(mapped.file - before.file, int64_t{kBytes} / 2);
  std::vector<char> written(kBytes);
  for (size_t i = 0; i < kBytes; i += 512) static_cast<volatile char&>(written[i]) = 'y';
  ResidentMemory both = resident_memory();
  EXPECT_GE(both.anonymous - mapped.anonymous, int64_t{kBytes} / 2);
  EXPECT_EQ(both.total(), both.anonymous + both.file);
}

}  // namespace
}  // namespace nibble
