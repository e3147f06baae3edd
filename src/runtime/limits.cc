#include "runtime/bandwidth.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <vector>

#include "base/threads.h"

namespace nibble {
namespace {

constexpr int64_t kLeast = int64_t{512} << 20, kMost = int64_t{4} << 30;
constexpr int64_t kChunk = 1 << 20;  // what one thread reads at a time
constexpr int kPasses = 9;

int64_t buffer_size() {
  int64_t l3 = ::sysconf(_SC_LEVEL3_CACHE_SIZE);  // 0 or -1 where unknown
  int64_t memory = ::sysconf(_SC_PHYS_PAGES) * ::sysconf(_SC_PAGESIZE);
  int64_t size = std::min(std::clamp(4 * l3, kLeast, kMost), memory / 4);
  return std::max(size / kChunk, int64_t{1}) * kChunk;
}

// Memory that goes back when the measurement ends; huge pages where the system gives them, so that
// address translation does not count.
class Buffer {
 public:
  explicit Buffer(int64_t size) : size_(static_cast<size_t>(size)) {
    void* p = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return;
    ::madvise(p, size_, MADV_HUGEPAGE);
    words_ = static_cast<uint64_t*>(p);
  }
  ~Buffer() {
    if (words_) ::munmap(words_, size_);
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  uint64_t* words() const { return words_; }

 private:
  size_t size_;
  uint64_t* words_ = nullptr;
};

// Unsigned lanes may be added in any order, so the loop becomes vector adds.
uint64_t sum(const uint64_t* words, int64_t count) {
  constexpr int kLanes = 32;
  uint64_t lanes[kLanes] = {};
  for (int64_t i = 0; i < count; i += kLanes)
    for (int j = 0; j < kLanes; ++j) lanes[j] += words[i + j];
  uint64_t total = 0;
  for (uint64_t lane : lanes) total += lane;
  return total;
}

}  // namespace

Result<double> measure_read_bandwidth() {
  int64_t size = buffer_size(), words = kChunk / 8;
  Buffer buffer(size);
  if (!buffer.words()) return fail("no {} MB of memory to measure its bandwidth with", size >> 20);
  parallel_for(size / kChunk,
               [&](int64_t c) { std::fill_n(buffer.words() + c * words, words, uint64_t{1}); });
  std::vector<double> seconds;
  std::atomic<uint64_t> total{0};
  for (int pass = 0; pass < kPasses; ++pass) {
    auto start = std::chrono::steady_clock::now();
    parallel_for(size / kChunk, [&](int64_t c) {
      total.fetch_add(sum(buffer.words() + c * words, words), std::memory_order_relaxed);
    });
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  // Also keeps the sums from being optimized away.
  NB_CHECK(total == static_cast<uint64_t>(size / 8) * kPasses);
  std::nth_element(seconds.begin(), seconds.begin() + kPasses / 2, seconds.end());
  return static_cast<double>(size) / seconds[kPasses / 2];
}

}  // namespace nibble
