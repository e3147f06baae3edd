#include "base/memory.h"

#include <malloc.h>

#include <chrono>
#include <cstdio>
#include <cstring>

namespace nibble {

ResidentMemory resident_memory() {
  ResidentMemory out;
  std::FILE* f = std::fopen("/proc/self/status", "re");
  if (!f) return out;
  char line[256];
  long long kilobytes;
  while (std::fgets(line, sizeof line, f)) {
    if (std::sscanf(line, "RssAnon: %lld", &kilobytes) == 1) out.anonymous = kilobytes * 1024;
    if (std::sscanf(line, "VmHWM: %lld", &kilobytes) == 1) out.most = kilobytes * 1024;
    if (std::sscanf(line, "RssFile: %lld", &kilobytes) == 1) out.file += kilobytes * 1024;
    if (std::sscanf(line, "RssShmem: %lld", &kilobytes) == 1) out.file += kilobytes * 1024;
  }
  std::fclose(f);
  return out;
}

MachineMemory machine_memory() {
  MachineMemory out;
  std::FILE* f = std::fopen("/proc/meminfo", "re");
  if (!f) return out;
  char line[256];
  long long kilobytes;
  while (std::fgets(line, sizeof line, f)) {
    if (std::sscanf(line, "MemTotal: %lld", &kilobytes) == 1) out.total = kilobytes * 1024;
    if (std::sscanf(line, "MemAvailable: %lld", &kilobytes) == 1) out.available = kilobytes * 1024;
  }
  std::fclose(f);
  return out;
}

void give_back_freed_memory() {
  // Set by hand, the threshold no longer grows with what is freed.
  mallopt(M_MMAP_THRESHOLD, 256 << 10);
  mallopt(M_TRIM_THRESHOLD, 256 << 10);
}

PeakMemory::PeakMemory()
    : watcher_([this](const std::stop_token& stop) {
        while (!stop.stop_requested()) {
          int64_t now = resident_memory().anonymous;
          if (now > peak_.load()) peak_.store(now);
          std::this_thread::sleep_for(std::chrono::milliseconds(10));
        }
      }) {}

PeakMemory::~PeakMemory() = default;

}  // namespace nibble
