#include "cli/line_reader.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

namespace nibble {
namespace {

std::atomic<bool> interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free);  // so that a signal handler may set it

}  // namespace

std::atomic<bool>& interrupt_flag() {
  static const bool installed = [] {
    struct sigaction action = {};
    action.sa_handler = [](int) { interrupted.store(true); };
    sigaction(SIGINT, &action, nullptr);  // without SA_RESTART: a waiting read returns
    return true;
  }();
  (void)installed;
  return interrupted;
}

LineReader::Got LineReader::next(std::string& line) {
  for (;;) {
    if (size_t end = held_.find('\n'); end != held_.npos) {
      line = held_.substr(0, end);
      held_.erase(0, end + 1);
      return Got::kLine;
    }
    char buffer[4096];
    ssize_t count = read(STDIN_FILENO, buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) {
      if (!interrupted.exchange(false)) continue;
      held_.clear();
      return Got::kInterrupt;
    }
    if (count > 0) {
      held_.append(buffer, static_cast<size_t>(count));
      continue;
    }
    if (held_.empty()) return Got::kEnd;
    line = std::exchange(held_, {});
    return Got::kLine;
  }
}

}  // namespace nibble
