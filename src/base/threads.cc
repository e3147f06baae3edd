#include "base/threads.h"

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

// One job at a time. Workers spin briefly (a decode step starts a job every few tens of
// microseconds), then sleep, so that an idle program uses no core.
class Pool {
 public:
  // `cores`: that of each thread, the caller's first; empty: the system moves them as it likes.
  Pool(int count, const std::vector<int>& cores) {
    // The system may refuse more threads; fewer give the same results.
    try {
      for (size_t i = 1; i < static_cast<size_t>(count); ++i)
        threads_.emplace_back([this, core = cores.empty() ? -1 : cores[i]] {
          if (core >= 0) stay_on({core});
          work();
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

  void run(int64_t chunks, const std::function<void(int64_t)>& body) {
    std::lock_guard one_job(job_mutex_);
    body_ = &body;
    chunks_ = chunks;
    next_.store(0, std::memory_order_relaxed);
    busy_.store(static_cast<int>(threads_.size()), std::memory_order_relaxed);
    {
      std::lock_guard lock(mutex_);
      generation_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    drain();
    // On a busy machine the last worker may not be running: after a while give it our core.
    for (int spin = 0; busy_.load(std::memory_order_acquire) != 0; ++spin)
      spin < kSpins ? pause() : std::this_thread::yield();
  }

 private:
  // A few tens of microseconds: longer than the gap between two steps of one decoded token.
  static constexpr int kSpins = 4000;
  static void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    std::this_thread::yield();
#endif
  }

  void drain() {
    inside_body = true;
    for (int64_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < chunks_;) (*body_)(i);
    inside_body = false;
  }

  void work() {
    uint64_t seen = 0;
    for (;;) {
      for (int spin = 0; spin < kSpins && generation_.load(std::memory_order_acquire) == seen;
           ++spin)
        pause();
      if (generation_.load(std::memory_order_acquire) == seen) {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return stop_ || generation_.load() != seen; });
        if (stop_) return;
      }
      seen = generation_.load(std::memory_order_acquire);
      drain();
      busy_.fetch_sub(1, std::memory_order_release);
    }
  }

  std::vector<std::thread> threads_;
  std::mutex job_mutex_, mutex_;
  std::condition_variable wake_;
  std::atomic<uint64_t> generation_{0};
  std::atomic<int64_t> next_{0};
  std::atomic<int> busy_{0};
  const std::function<void(int64_t)>* body_ = nullptr;
  int64_t chunks_ = 0;
  bool stop_ = false;
};

int wanted = 0;
std::vector<int> pinned;  // a core for each thread, or empty
std::unique_ptr<Pool> pool;

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

int thread_count() { return wanted > 0 ? wanted : core_count(); }

void parallel_for(int64_t chunks, const std::function<void(int64_t)>& body) {
  if (inside_body || chunks <= 1 || thread_count() == 1) {
    for (int64_t i = 0; i < chunks; ++i) body(i);
    return;
  }
  static std::mutex creation;
  Pool* p;
  {
    std::lock_guard lock(creation);
    if (!pool) pool = std::make_unique<Pool>(thread_count(), pinned);
    p = pool.get();
  }
  p->run(chunks, body);
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
