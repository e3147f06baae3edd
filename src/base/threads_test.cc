#include "base/threads.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "base/cores.h"
#include "base/test_util.h"

namespace nibble {
namespace {

class Threads : public testing::TestWithParam<int> {
 protected:
  void SetUp() override { set_threads(GetParam()); }
  void TearDown() override { set_threads(0); }
};

TEST_P(Threads, RunEachChunkOnce) {
  EXPECT_EQ(thread_count(), GetParam());
  for (int64_t chunks : {0, 1, 2, 3, 1000}) {
    std::vector<std::atomic<int>> runs(static_cast<size_t>(chunks));
    for (int repeat = 0; repeat < 20; ++repeat)
      parallel_for(chunks, [&](int64_t i) { ++runs[static_cast<size_t>(i)]; });
    for (auto& r : runs) EXPECT_EQ(r, 20);
  }
}

TEST_P(Threads, AreDoneWhenTheCallReturns) {
  std::vector<int64_t> out(5000);
  for (int64_t round = 1; round <= 50; ++round) {
    parallel_for(5000, [&](int64_t i) { out[static_cast<size_t>(i)] = i * round; });
    for (int64_t i = 0; i < 5000; ++i) ASSERT_EQ(out[static_cast<size_t>(i)], i * round);
  }
}

TEST_P(Threads, NestedCallsRunSerially) {
  std::vector<std::atomic<int>> runs(100);
  std::atomic<int> strangers{0};
  parallel_for(10, [&](int64_t i) {
    auto self = std::this_thread::get_id();
    parallel_for(10, [&](int64_t j) {
      ++runs[static_cast<size_t>(10 * i + j)];
      if (std::this_thread::get_id() != self) ++strangers;
    });
  });
  for (auto& r : runs) EXPECT_EQ(r, 1);
  EXPECT_EQ(strangers, 0);
}

TEST(ThreadsPinned, EachStaysOnACoreOfItsOwn) {
  int cores = static_cast<int>(usable_cores().size());
  ASSERT_TRUE(set_threads(cores, /*pin=*/true));
  std::mutex mutex;
  std::map<std::thread::id, int> core_of;
  parallel_for(64 * cores, [&](int64_t) {
    cpu_set_t set;
    ASSERT_EQ(sched_getaffinity(0, sizeof set, &set), 0);
    EXPECT_EQ(CPU_COUNT(&set), 1);
    std::lock_guard lock(mutex);
    core_of[std::this_thread::get_id()] = sched_getcpu();
  });
  std::set<int> used;
  for (auto [thread, core] : core_of) EXPECT_TRUE(used.insert(core).second);
  EXPECT_EQ(thread_count(), cores);
  EXPECT_TRUE(threads_pinned());
  // Back to where the system moves threads as it likes.
  ASSERT_TRUE(set_threads(0));
  cpu_set_t set;
  ASSERT_EQ(sched_getaffinity(0, sizeof set, &set), 0);
  EXPECT_EQ(CPU_COUNT(&set), cores);
  EXPECT_FALSE(threads_pinned());
}

TEST(ThreadsPinned, MoreThreadsThanCoresAreRefused) {
  int cores = static_cast<int>(usable_cores().size());
  EXPECT_TRUE(fails_with(set_threads(cores + 1, /*pin=*/true), "cannot be pinned"));
  EXPECT_EQ(thread_count(), worthwhile_threads());
  EXPECT_TRUE(set_threads(cores + 1));
  EXPECT_EQ(thread_count(), cores + 1);
  ASSERT_TRUE(set_threads(0));
}

INSTANTIATE_TEST_SUITE_P(Counts, Threads, testing::Values(1, 2, 3, 7, 32));

TEST(ThreadsTogether, CallersFromOtherThreadsTakeTurns) {
  set_threads(4);
  std::atomic<int64_t> sum{0};
  std::vector<std::thread> callers;
  for (int t = 0; t < 4; ++t)
    callers.emplace_back([&] {
      for (int r = 0; r < 100; ++r) parallel_for(16, [&](int64_t i) { sum += i; });
    });
  for (auto& c : callers) c.join();
  EXPECT_EQ(sum, 4 * 100 * 120);
  set_threads(0);
}

}  // namespace
}  // namespace nibble
