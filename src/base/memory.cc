#include "base/memory.h"

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
    if (std::sscanf(line, "RssFile: %lld", &kilobytes) == 1) out.file += kilobytes * 1024;
    if (std::sscanf(line, "RssShmem: %lld", &kilobytes) == 1) out.file += kilobytes * 1024;
  }
  std::fclose(f);
  return out;
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
