#include "cli/child.h"

#include "base/file.h"
#include "base/process.h"
#include "base/threads.h"
#include "cli/common.h"

namespace nibble {

Result<std::string> run_nibble(const std::vector<std::string>& arguments,
                               const std::string& messages) {
  constexpr int64_t kLongestOutput = int64_t{1} << 32;
  std::vector<std::string> argv = {"nibble"};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  // A child inherits the cores of the thread that starts it: a pinned one's would be one alone.
  bool pinned = threads_pinned();
  if (pinned) NB_OK(set_threads(thread_count()));
  auto started = Process::start("/proc/self/exe", argv, {}, messages);
  if (pinned) NB_OK(set_threads(thread_count(), /*pin=*/true));
  Process child = NB_TRY(std::move(started));
  auto out = read_all(child.output(), "the output of nibble " + arguments[0], kLongestOutput);
  auto code = child.wait();
  if (!code) return fail("nibble {}: {}", arguments[0], code.error().message);
  if (*code != 0) return fail("nibble {}: failed, as said above", arguments[0]);
  return out;
}

std::string command_line(const std::vector<std::string>& arguments) {
  std::string out = "nibble";
  for (const std::string& a : arguments) {
    bool plain = !a.empty() && a.find_first_not_of(
                                   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVW"
                                   "XYZ0123456789_-+=:,./%@") == std::string::npos;
    out += ' ';
    out += plain ? a : shell_quoted(a);
  }
  return out;
}

}  // namespace nibble
