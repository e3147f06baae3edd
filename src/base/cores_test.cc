#include "base/cores.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/test_util.h"

namespace nibble {
namespace {

class Cores : public testing::Test {
 protected:
  void put(const std::string& name, const std::string& text) {
    std::filesystem::path path = sys_ / name;
    std::filesystem::create_directories(path.parent_path());
    ASSERT_TRUE(succeeds(write_file(path.string(), text + "\n")));
  }
  void put(int core, const std::string& name, const std::string& text) {
    put(fmt::format("devices/system/cpu/cpu{}/{}", core, name), text);
  }
  // The groups' files lie in the same folder.
  int threads() { return worthwhile_threads(sys_.path(), sys_.path()); }
  TempFolder sys_;
  int all_ = static_cast<int>(usable_cores().size());
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

TEST_F(Cores, AllAreWorthAThreadWhereNoGroupLimitsThem) {
  EXPECT_EQ(threads(), all_);
  put("self/cgroup", "3:cpuset:/\n1:cpu:/\n0::/user.slice/a");
  put("fs/cgroup/user.slice/a/cpu.max", "max 100000");
  put("fs/cgroup/cpu/cpu.cfs_quota_us", "-1");
  put("fs/cgroup/cpu/cpu.cfs_period_us", "100000");
  EXPECT_EQ(threads(), all_);
  put("fs/cgroup/user.slice/a/cpu.max", "100000000 100000");
  EXPECT_EQ(threads(), all_);
}

TEST_F(Cores, AGroupsTimeLimitsThreads) {
  put("self/cgroup", "0::/a/b");
  put("fs/cgroup/a/b/cpu.max", "100000 100000");
  EXPECT_EQ(threads(), 1);
  put("fs/cgroup/a/b/cpu.max", "20000 100000");  // a fifth of a core
  EXPECT_EQ(threads(), 1);
  put("fs/cgroup/a/b/cpu.max", "110000 100000");
  EXPECT_EQ(threads(), std::min(2, all_));
}

TEST_F(Cores, SoDoesTheGroupAroundItAndTheRootOfAContainer) {
  put("self/cgroup", "0::/a/b");
  put("fs/cgroup/a/b/cpu.max", "max 100000");
  put("fs/cgroup/a/cpu.max", "50000 100000");
  EXPECT_EQ(threads(), 1);
  put("fs/cgroup/a/cpu.max", "max 100000");
  put("fs/cgroup/cpu.max", "50000 100000");
  EXPECT_EQ(threads(), 1);
}

TEST_F(Cores, VersionOneSaysItInTwoFiles) {
  put("self/cgroup", "4:cpuacct,cpu:/docker/0a\n3:memory:/docker/0a");
  put("fs/cgroup/cpu/cpu.cfs_quota_us", "50000");
  put("fs/cgroup/cpu/cpu.cfs_period_us", "100000");
  EXPECT_EQ(threads(), 1);
}

TEST_F(Cores, WrongWordsLimitNothing) {
  put("self/cgroup", "0::a\n:\n\n1:cpu\nwords");
  put("fs/cgroup/cpu.max", "words");
  EXPECT_EQ(threads(), all_);
}

}  // namespace
}  // namespace nibble
