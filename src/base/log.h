// Lines to standard error for the person at the terminal; results go to standard output elsewhere.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <string>
#include <string_view>

namespace nibble {

void log_line(std::string_view text);
template <class... A>
void note(fmt::format_string<A...> form, A&&... args) {
  log_line(fmt::format(form, std::forward<A>(args)...));
}
template <class... A>
void warn(fmt::format_string<A...> form, A&&... args) {
  log_line("warning: " + fmt::format(form, std::forward<A>(args)...));
}
void set_quiet(bool quiet);

// Progress of long work with an estimate of the time left: one line redrawn ten times a second on
// a terminal, a plain line every tenth of the work otherwise.
class Progress {
 public:
  Progress(std::string title, int64_t total);
  ~Progress();
  void step(int64_t done, std::string_view detail = {});

 private:
  using Clock = std::chrono::steady_clock;
  std::string title_;
  int64_t total_;
  int64_t shown_tenth_ = 0;
  Clock::time_point start_ = Clock::now(), drawn_{};
  bool terminal_;
  bool drawn_once_ = false;
};

}  // namespace nibble
