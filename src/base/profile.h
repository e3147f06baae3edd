// Where the time of a forward pass goes: each operator is timed where it is called, while a profile
// is being taken.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace nibble {

// What one operator did between profile_start and profile_take.
struct OperatorProfile {
  std::string name;
  int64_t calls = 0;
  double seconds = 0;  // wall time, all threads working
  int64_t bytes = 0;   // moved from memory: weights, cached keys and values
  int64_t macs = 0;    // multiply-accumulates
};

// Forgets what was counted and begins to count. One profile at a time in a program.
void profile_start();
// Ends the count: the operators in the order in which they first ran.
std::vector<OperatorProfile> profile_take();

// Counts its own lifetime as one call of `op`, a string literal. Stands on the thread that calls
// the operator, around all of it (whatever the pool does in between included) and never inside
// another one. While no profile is taken it costs one relaxed load.
//   OperatorTimer timer("attention", bytes, macs);
class OperatorTimer {
 public:
  OperatorTimer(const char* op, int64_t bytes, int64_t macs) {
    if (!counting.load(std::memory_order_relaxed)) return;
    op_ = op;
    bytes_ = bytes;
    macs_ = macs;
    start_ = Clock::now();
  }
  ~OperatorTimer() {
    if (op_) record();
  }
  OperatorTimer(const OperatorTimer&) = delete;
  OperatorTimer& operator=(const OperatorTimer&) = delete;

 private:
  using Clock = std::chrono::steady_clock;
  friend void profile_start();
  friend std::vector<OperatorProfile> profile_take();
  void record() const;
  static inline std::atomic<bool> counting{false};

  const char* op_ = nullptr;  // null: no profile was being taken
  int64_t bytes_ = 0, macs_ = 0;
  Clock::time_point start_;
};

}  // namespace nibble
