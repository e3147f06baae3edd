#include "base/process.h"

#include "base/file.h"
#include "base/test_util.h"

namespace nibble {
namespace {

TEST(Process, ReadsAndIsRead) {
  auto cat = Process::start("cat", {"cat"}, "one\ntwo");
  ASSERT_TRUE(cat);
  EXPECT_EQ(cat->read_line(10).value(), "one");
  EXPECT_EQ(read_all(cat->output(), "cat", 100).value(), "two");
  EXPECT_EQ(cat->wait().value(), 0);
}

// More than a pipe holds, on both sides.
TEST(Process, NeitherSideWaitsForTheOther) {
  std::string much(1 << 20, 'x');
  auto cat = Process::start("cat", {"cat"}, much);
  ASSERT_TRUE(cat);
  EXPECT_EQ(read_all(cat->output(), "cat", 1 << 21).value(), much);
}

TEST(Process, WritesMessagesToAFile) {
  TempFolder folder;
  std::string file = folder / "messages";
  auto shell = Process::start("sh", {"sh", "-c", "echo out; echo said >&2"}, {}, file);
  ASSERT_TRUE(shell);
  EXPECT_EQ(shell->read_line(10).value(), "out");
  EXPECT_EQ(shell->wait().value(), 0);
  EXPECT_EQ(read_file(file).value(), "said\n");
}

TEST(Process, TellsHowItEnded) {
  auto done = Process::start("sh", {"sh", "-c", "exit 7"});
  ASSERT_TRUE(done);
  EXPECT_EQ(done->wait().value(), 7);
  auto killed = Process::start("sh", {"sh", "-c", "kill -9 $$"});
  ASSERT_TRUE(killed);
  EXPECT_NE(killed->wait().error().message.find("signal 9"), std::string::npos);
}

TEST(Process, RefusesWhatIsTooShortOrTooLong) {
  auto cat = Process::start("cat", {"cat"}, "abc");
  ASSERT_TRUE(cat);
  EXPECT_FALSE(cat->read_line(2));
  auto again = Process::start("cat", {"cat"}, "abc");
  ASSERT_TRUE(again);
  EXPECT_FALSE(again->read_line(9));
  EXPECT_FALSE(Process::start("/no/such/program", {"no"}));
}

}  // namespace
}  // namespace nibble
