#include "base/cores.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/test_util.h"

namespace nibble {
namespace {

class Cores : public testing::Test {
 protected:
  void put(int core, const std::string& name, const std::string& text) {
    std::filesystem::path path = sys_ / fmt::format("devices/system/cpu/cpu{}/{}", core, name);
    std::filesystem::create_directories(path.parent_path());
    ASSERT_TRUE(succeeds(write_file(path.string(), text + "\n")));
  }
  TempFolder sys_;
};

TEST_F(Cores, KeepTheirOrderWhereNothingIsKnown) {
  EXPECT_EQ(best_first({0, 1, 5}, sys_.path()), (std::vector{0, 1, 5}));
}

TEST_F(Cores, SecondHardwareThreadsComeLast) {
  for (int core : {0, 1}) put(core, "topology/thread_siblings_list", "0-1");
  for (int core : {2, 3}) put(core, "topology/thread_siblings_list", "2,3");
  EXPECT_EQ(best_first({0, 1, 2, 3}, sys_.path()), (std::vector{0, 2, 1, 3}));
}

TEST_F(Cores, FastOnesComeFirst) {
  for (int core = 0; core < 4; ++core)
    put(core, "topology/thread_siblings_list", std::to_string(core));
  put(0, "cpu_capacity", "446");
  put(1, "cpu_capacity", "446");
  put(2, "cpu_capacity", "1024");
  put(3, "cpu_capacity", "1024");
  EXPECT_EQ(best_first({0, 1, 2, 3}, sys_.path()), (std::vector{2, 3, 0, 1}));
}

TEST_F(Cores, UsableOnesStayTheSameWhenAThreadIsPinned) {
  std::vector<int> cores = usable_cores();
  ASSERT_FALSE(cores.empty());
  ASSERT_TRUE(stay_on({cores.back()}));
  EXPECT_EQ(usable_cores(), cores);
  EXPECT_TRUE(stay_on(cores));
}

}  // namespace
}  // namespace nibble
