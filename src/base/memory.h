// How much memory this process holds.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

namespace nibble {

// Resident bytes of this process, zeros where unknown.
struct ResidentMemory {
  int64_t anonymous = 0;  // RssAnon: what cannot be read again from a file
  int64_t file = 0;       // RssFile and RssShmem: mapped files, which the system may take back
  int64_t most = 0;       // VmHWM: of both, at any time so far
  int64_t total() const { return anonymous + file; }
};
ResidentMemory resident_memory();

// Bytes of the machine's memory, and of it what a new program may take; zeros where unknown.
struct MachineMemory {
  int64_t total = 0, available = 0;
};
MachineMemory machine_memory();

// Makes memory that is freed leave the process at once, so that what is resident is what is held.
void give_back_freed_memory();

// Watches the anonymous part every few milliseconds while it lives.
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
