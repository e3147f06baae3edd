#include "cli/child.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>

namespace nibble {
namespace {

std::string reason(int error) { return std::generic_category().message(error); }

// All that is written to the other end, which is closed here once the process holds it.
Result<std::string> read_all(int fd) {
  std::string out;
  std::array<char, 65536> buffer;
  for (;;) {
    ssize_t n = ::read(fd, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail("cannot read a command's output: {}", reason(errno));
    if (n == 0) return out;
    out.append(buffer.data(), static_cast<size_t>(n));
  }
}

Result<pid_t> start(const std::vector<std::string>& arguments, int output) {
  std::vector<char*> argv = {const_cast<char*>("nibble")};
  for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  pid_t child = 0;
  int error = ::posix_spawn(&child, "/proc/self/exe", &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return fail("cannot start nibble {}: {}", arguments[0], reason(error));
  return child;
}

}  // namespace

Result<std::string> run_nibble(const std::vector<std::string>& arguments) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail("cannot make a pipe: {}", reason(errno));
  Result<pid_t> child = start(arguments, ends[1]);
  ::close(ends[1]);
  Result<std::string> out = child ? read_all(ends[0]) : Result<std::string>(std::string());
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
    if (plain) {
      out += a;
      continue;
    }
    out += '\'';
    for (char c : a) c == '\'' ? out += "'\\''" : out += c;
    out += '\'';
  }
  return out;
}

}  // namespace nibble
