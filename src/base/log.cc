#include "base/log.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <mutex>

namespace nibble {
namespace {

std::mutex mutex;
bool quiet = false;
bool line_open = false;  // a progress line without its newline stands on the terminal

std::string duration(double seconds) {
  auto s = static_cast<int64_t>(seconds + .5);
  if (s >= 3600) return fmt::format("{}h{:02}m", s / 3600, s / 60 % 60);
  if (s >= 60) return fmt::format("{}m{:02}s", s / 60, s % 60);
  return fmt::format("{}s", s);
}

}  // namespace

void set_quiet(bool value) { quiet = value; }

void log_line(std::string_view text) {
  std::lock_guard lock(mutex);
  if (line_open) fmt::print(stderr, "\n");
  line_open = false;
  fmt::print(stderr, "{}\n", text);
}

Progress::Progress(std::string title, int64_t total)
    : title_(std::move(title)), total_(total), terminal_(isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  std::lock_guard lock(mutex);
  if (terminal_ && drawn_once_ && line_open) {
    fmt::print(stderr, "\n");
    line_open = false;
  }
}

void Progress::step(int64_t done, std::string_view detail) {
  if (quiet || total_ <= 0) return;
  auto now = Clock::now();
  int64_t tenth = done * 10 / total_;
  double elapsed = std::chrono::duration<double>(now - start_).count();
  // Work that is over at once needs no lines in a log.
  if (!terminal_ && elapsed < 2) return;
  bool due = terminal_ ? done == total_ || now - drawn_ > std::chrono::milliseconds(100)
                       : tenth > shown_tenth_;
  if (!due) return;
  shown_tenth_ = tenth;
  drawn_ = now;
  double left =
      done > 0 ? elapsed * static_cast<double>(total_ - done) / static_cast<double>(done) : 0;
  std::string line = fmt::format("{} {}/{} {}{}", title_, done, total_, detail,
                                 done < total_ ? fmt::format(", {} left", duration(left))
                                               : fmt::format(", took {}", duration(elapsed)));
  std::lock_guard lock(mutex);
  if (terminal_) {
    fmt::print(stderr, "\r\033[K{}", line);
    std::fflush(stderr);
    line_open = drawn_once_ = true;
  } else {
    fmt::print(stderr, "{}\n", line);
  }
}

}  // namespace nibble
