// How much memory this process holds.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

namespace nibble {

// Anonymous resident bytes (RssAnon): what cannot be read again from a file. 0 where unknown.
int64_t anonymous_memory();

// Watches anonymous_memory() every few milliseconds while it lives.
class PeakMemory {
 public:
  PeakMemory();
  ~PeakMemory();
  int64_t bytes() const { return peak_.load(); }

 private:
  std::atomic<int64_t> peak_{0};
  std::jthread watcher_;
};

}  // namespace nibble
