#include "base/threads.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "base/cores.h"

namespace nibble {
namespace {

thread_local bool inside_body = false;

constexpr int64_t kLine = 64, kAheadStep = 8 * kLine;
// Some of an L2 cache of 1 MB and of what memory gives between two jobs of a decode step; the
// calling thread, which has other things to do, asks only for what it need not wait for.
constexpr int64_t kAheadOfWorker = 256 << 10, kAheadOfCaller = 2 << 10;

void prefetch(const std::byte* begin, const std::byte* end) {
  for (; begin < end; begin += kLine) __builtin_prefetch(begin, 0, 2);
}

// Chunks that nobody has taken yet, [first, end). Its thread takes them in order, so that memory is
// read straight on; others, out of work, take them from the end.
class alignas(128) Share {
 public:
  void set(int64_t first, int64_t end) {
    left_.store(pack(static_cast<uint64_t>(first), static_cast<uint64_t>(end)),
                std::memory_order_relaxed);
  }
  // What this thread will read of the next job.
  void announce(const std::byte* begin, const std::byte* end) {
    ahead_end_.store(end, std::memory_order_relaxed);
    ahead_.store(begin, std::memory_order_release);
  }
  // The next lines of that to ask memory for, or null. Only the share's own thread takes.
  const std::byte* take_ahead() {
    const std::byte* at = ahead_.load(std::memory_order_acquire);
    if (!at) return nullptr;
    const std::byte* next = at + kAheadStep;
    bool last = next >= ahead_end_.load(std::memory_order_relaxed);
    // Fails where the caller has announced something else, or withdrawn it.
    ahead_.compare_exchange_strong(at, last ? nullptr : next, std::memory_order_relaxed);
    return at;
  }
  // A chunk, or -1 where none is left.
  int64_t take(bool from_end) {
    uint64_t left = left_.load(std::memory_order_relaxed);
    for (;;) {
      uint64_t first = left & kLow, end = left >> 32;
      if (first >= end) return -1;
      if (left_.compare_exchange_weak(left, from_end ? pack(first, end - 1) : pack(first + 1, end),
                                      std::memory_order_relaxed))
        return static_cast<int64_t>(from_end ? end - 1 : first);
    }
  }

 private:
  static constexpr uint64_t kLow = 0xffffffff;
  static uint64_t pack(uint64_t first, uint64_t end) { return first | end << 32; }
  std::atomic<uint64_t> left_{0};
  std::atomic<const std::byte*> ahead_{nullptr}, ahead_end_{nullptr};
};

// One job at a time. Workers spin briefly (a decode step starts a job every few tens of
// microseconds), then sleep, so that an idle program uses no core.
class Pool {
 public:
  // `cores`: that of each thread, the caller's first; empty: the system moves them as it likes.
  Pool(int count, const std::vector<int>& cores) : shares_(static_cast<size_t>(count)) {
    // The system may refuse more threads; fewer give the same results.
    try {
      for (size_t i = 1; i < static_cast<size_t>(count); ++i)
        threads_.emplace_back([this, i, core = cores.empty() ? -1 : cores[i]] {
          if (core >= 0) stay_on({core});
          work(i);
        });
    } catch (const std::system_error&) {
    }
  }
  ~Pool() {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    for (auto& t : threads_) t.join();
  }

  int size() const { return static_cast<int>(threads_.size()) + 1; }

  void run(int64_t chunks, FunctionRef<void(int64_t)> body) {
    std::lock_guard one_job(job_mutex_);
    NB_CHECK(chunks <= INT32_MAX);
    body_ = &body;
    auto threads = static_cast<int64_t>(shares_.size());
    for (int64_t t = 0; t < threads; ++t) {
      Share& share = shares_[static_cast<size_t>(t)];
      share.announce(nullptr, nullptr);
      share.set(t * chunks / threads, (t + 1) * chunks / threads);
    }
    busy_.store(static_cast<int>(threads_.size()), std::memory_order_relaxed);
    {
      std::lock_guard lock(mutex_);
      generation_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    drain(0);
    // On a busy machine the last worker may not be running: after a while give it our core.
    for (int spin = 0; busy_.load(std::memory_order_acquire) != 0; ++spin)
      spin < kSpins ? pause() : std::this_thread::yield();
  }

  void read_ahead(std::span<const Stretch> next) {
    int64_t pieces = 0;
    for (const Stretch& s : next) pieces += s.pieces;
    auto threads = static_cast<int64_t>(shares_.size());
    for (int64_t t = 0; t < threads; ++t) {
      int64_t first = t * pieces / threads, size = (t + 1) * pieces / threads - first;
      const Stretch* s = next.data();
      for (; s != next.data() + next.size() && first >= s->pieces; ++s) first -= s->pieces;
      if (size == 0) return;
      const std::byte* begin = s->data + first * s->piece_bytes;
      int64_t most = std::min(size, s->pieces - first) * s->piece_bytes;
      if (t == 0)
        prefetch(begin, begin + std::min(most, kAheadOfCaller));
      else
        shares_[static_cast<size_t>(t)].announce(begin, begin + std::min(most, kAheadOfWorker));
    }
  }

 private:
  // A few tens of microseconds: longer than the gap between two steps of one decoded token.
  static constexpr int kSpins = 4000;
  static void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("isb");  // some ten nanoseconds, where YIELD takes none
#else
    std::this_thread::yield();
#endif
  }

  void drain(size_t self) {
    inside_body = true;
    for (size_t k = 0; k < shares_.size(); ++k) {
      Share& share = shares_[(self + k) % shares_.size()];
      for (int64_t i; (i = share.take(k > 0)) >= 0;) (*body_)(i);
    }
    inside_body = false;
  }

  void work(size_t self) {
    uint64_t seen = 0;
    for (;;) {
      for (int spin = 0; spin < kSpins && generation_.load(std::memory_order_acquire) == seen;
           ++spin) {
        if (const std::byte* ahead = shares_[self].take_ahead())
          prefetch(ahead, ahead + kAheadStep);
        else
          pause();
      }
      if (generation_.load(std::memory_order_acquire) == seen) {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return stop_ || generation_.load() != seen; });
        if (stop_) return;
      }
      seen = generation_.load(std::memory_order_acquire);
      drain(self);
      busy_.fetch_sub(1, std::memory_order_release);
    }
  }

  std::vector<Share> shares_;  // one a thread, the caller's first
  std::vector<std::thread> threads_;
  std::mutex job_mutex_, mutex_;
  std::condition_variable wake_;
  std::atomic<uint64_t> generation_{0};
  std::atomic<int> busy_{0};
  const FunctionRef<void(int64_t)>* body_ = nullptr;
  bool stop_ = false;
};

int wanted = 0;
std::vector<int> pinned;  // a core for each thread, or empty
std::unique_ptr<Pool> pool;

Pool& the_pool() {
  static std::mutex creation;
  std::lock_guard lock(creation);
  if (!pool) pool = std::make_unique<Pool>(thread_count(), pinned);
  return *pool;
}

int core_count() { return static_cast<int>(usable_cores().size()); }

}  // namespace

Status set_threads(int count, bool pin) {
  if (pin && count > core_count())
    return fail("{} threads cannot be pinned to {} core{}", count, core_count(),
                core_count() == 1 ? "" : "s");
  std::vector<int> cores = pin ? best_first(usable_cores()) : std::vector<int>{};
  bool move = pin || !pinned.empty();
  if (move && !stay_on(pin ? std::vector{cores[0]} : usable_cores()))
    return fail("the system refuses to pin threads to cores");
  pool.reset();
  wanted = count;
  pinned = std::move(cores);
  return {};
}

bool threads_pinned() { return !pinned.empty(); }

int thread_count() {
  if (wanted > 0) return wanted;
  static const int worthwhile = worthwhile_threads();
  return worthwhile;
}

void parallel_for(int64_t chunks, FunctionRef<void(int64_t)> body) {
  if (inside_body || chunks <= 1 || thread_count() == 1) {
    for (int64_t i = 0; i < chunks; ++i) body(i);
    return;
  }
  the_pool().run(chunks, body);
}

void read_ahead(std::span<const Stretch> next) {
  if (!inside_body && thread_count() > 1) the_pool().read_ahead(next);
}

void run_pieces(std::span<const Pieces> jobs) {
  int64_t total = 0;
  bool small = true;
  for (const Pieces& job : jobs) {
    total += job.count;
    small = small && job.small;
  }
  auto body = [&](int64_t i) {
    const Pieces* job = jobs.data();
    for (; i >= job->count; ++job) i -= job->count;
    job->body(i);
  };
  if (!small) return parallel_for(total, body);
  for (int64_t i = 0; i < total; ++i) body(i);
}

}  // namespace nibble
