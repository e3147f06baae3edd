#include "runtime/limits.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>

#include "base/threads.h"
#include "kernels/kernels.h"

namespace nibble {
namespace {

constexpr int64_t kLeast = int64_t{512} << 20, kMost = int64_t{4} << 30;
constexpr int64_t kChunk = 1 << 20;  // what one thread reads at a time
// Multiplications: some 20 us a chunk, so that a slower core takes fewer of them; 5 ms in all.
constexpr int64_t kRounds = 1 << 13, kRoundChunks = 256;

int64_t buffer_size() {
  int64_t l3 = ::sysconf(_SC_LEVEL3_CACHE_SIZE);  // 0 or -1 where unknown
  int64_t memory = ::sysconf(_SC_PHYS_PAGES) * ::sysconf(_SC_PAGESIZE);
  int64_t size = std::min(std::clamp(4 * l3, kLeast, kMost), memory / 4);
  return std::max(size / kChunk, int64_t{1}) * kChunk;
}

double seconds_of(const std::function<void()>& work) {
  auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Unsigned lanes may be added in any order, so the loop becomes vector adds. Without asking ahead
// it stops at 38 GB/s on two Zen 4 cores where memory gives 60.
uint64_t sum(const uint64_t* words, int64_t count) {
  constexpr int kLanes = 32, kLine = 8, kAhead = 512;
  uint64_t lanes[kLanes] = {};
  for (int64_t i = 0; i < count; i += kLanes) {
    for (int j = 0; j < kLanes; j += kLine) __builtin_prefetch(words + i + kAhead + j, 0, 2);
    for (int j = 0; j < kLanes; ++j) lanes[j] += words[i + j];
  }
  uint64_t total = 0;
  for (uint64_t lane : lanes) total += lane;
  return total;
}

double multiply_rate() {
  std::atomic<int64_t> macs{0};
  double seconds = seconds_of([&] {
    parallel_for(kRoundChunks, [&](int64_t) {
      macs.fetch_add(multiply_registers(kRounds), std::memory_order_relaxed);
    });
  });
  return static_cast<double>(macs) / seconds;
}

}  // namespace

void LimitMeter::Unmap::operator()(uint64_t* words) const {
  ::munmap(words, static_cast<size_t>(size));
}

Result<LimitMeter> LimitMeter::open() {
  int64_t size = buffer_size(), words = kChunk / 8;
  void* p = ::mmap(nullptr, static_cast<size_t>(size), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return fail("no {} MB of memory to measure its bandwidth with", size >> 20);
  // Where the system gives huge pages, address translation does not count.
  ::madvise(p, static_cast<size_t>(size), MADV_HUGEPAGE);
  std::unique_ptr<uint64_t[], Unmap> memory(static_cast<uint64_t*>(p), Unmap{size});
  parallel_for(size / kChunk,
               [&](int64_t c) { std::fill_n(memory.get() + c * words, words, uint64_t{1}); });
  return LimitMeter(std::move(memory));
}

Limits LimitMeter::look() const {
  int64_t size = memory_.get_deleter().size, words = kChunk / 8;
  std::atomic<uint64_t> total{0};
  double seconds = seconds_of([&] {
    parallel_for(size / kChunk, [&](int64_t c) {
      total.fetch_add(sum(memory_.get() + c * words, words), std::memory_order_relaxed);
    });
  });
  // Also keeps the sums from being optimized away.
  NB_CHECK(total == static_cast<uint64_t>(size / 8));
  return {static_cast<double>(size) / seconds, multiply_rate()};
}

}  // namespace nibble
