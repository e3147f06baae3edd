#include "base/memory.h"

#include <chrono>
#include <cstdio>
#include <cstring>

namespace nibble {

int64_t anonymous_memory() {
  std::FILE* f = std::fopen("/proc/self/status", "re");
  if (!f) return 0;
  char line[256];
  long long kilobytes = 0;
  while (std::fgets(line, sizeof line, f))
    if (std::sscanf(line, "RssAnon: %lld", &kilobytes) == 1) break;
  std::fclose(f);
  return kilobytes * 1024;
}

PeakMemory::PeakMemory()
    : watcher_([this](const std::stop_token& stop) {
        while (!stop.stop_requested()) {
          int64_t now = anonymous_memory();
          if (now > peak_.load()) peak_.store(now);
          std::this_thread::sleep_for(std::chrono::milliseconds(10));
        }
      }) {}

PeakMemory::~PeakMemory() = default;

}  // namespace nibble
