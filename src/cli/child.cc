#include "cli/child.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "base/file.h"
#include "cli/common.h"

namespace nibble {
namespace {

constexpr int64_t kLongestOutput = int64_t{1} << 32;

std::string reason(int error) { return std::generic_category().message(error); }

Result<pid_t> start(const std::vector<std::string>& arguments, int output,
                    const std::string& messages) {
  std::vector<char*> argv = {const_cast<char*>("nibble")};
  for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  if (!messages.empty())
    ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, messages.c_str(),
                                       O_WRONLY | O_CREAT | O_TRUNC, 0600);
  pid_t child = 0;
  int error = ::posix_spawn(&child, "/proc/self/exe", &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return fail("cannot start nibble {}: {}", arguments[0], reason(error));
  return child;
}

}  // namespace

Result<std::string> run_nibble(const std::vector<std::string>& arguments,
                               const std::string& messages) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail("cannot make a pipe: {}", reason(errno));
  Result<pid_t> child = start(arguments, ends[1], messages);
  ::close(ends[1]);
  Result<std::string> out;
  if (child) out = read_all(ends[0], "the output of nibble " + arguments[0], kLongestOutput);
  ::close(ends[0]);
  if (!child) return std::unexpected(child.error());
  int status = 0;
  while (::waitpid(*child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFSIGNALED(status))
    return fail("nibble {}: was ended by signal {}", arguments[0], WTERMSIG(status));
  if (WEXITSTATUS(status) != 0) return fail("nibble {}: failed, as said above", arguments[0]);
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
