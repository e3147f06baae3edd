#include "base/process.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace nibble {
namespace {

std::string reason(int error) { return std::generic_category().message(error); }

// A nameless file that stands at its beginning: it is read at any pace, where a pipe would have
// both sides wait for each other.
Result<int> file_of(std::string_view bytes) {
  int fd = ::memfd_create("nibble", MFD_CLOEXEC);
  if (fd < 0) return fail("cannot make a file in memory: {}", reason(errno));
  while (!bytes.empty()) {
    ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      auto error = fail("cannot write to a file in memory: {}", reason(errno));
      ::close(fd);
      return error;
    }
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  ::lseek(fd, 0, SEEK_SET);
  return fd;
}

}  // namespace

Result<Process> Process::start(const std::string& program,
                               const std::vector<std::string>& arguments,
                               std::optional<std::string_view> input, const std::string& messages) {
  std::vector<char*> argv;
  for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail("cannot make a pipe: {}", reason(errno));
  Result<int> source = input ? file_of(*input) : STDIN_FILENO;
  if (!source) {
    ::close(ends[0]);
    ::close(ends[1]);
    return std::unexpected(source.error());
  }
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, *source, STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  if (!messages.empty())
    ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, messages.c_str(),
                                       O_WRONLY | O_CREAT | O_TRUNC, 0600);
  pid_t pid = 0;
  int error = ::posix_spawnp(&pid, program.c_str(), &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (input) ::close(*source);
  ::close(ends[1]);
  if (error == 0) return Process(program, pid, ends[0]);
  ::close(ends[0]);
  return fail("{}: cannot be started: {}", program, reason(error));
}

Process::Process(Process&& other) noexcept
    : name_(std::move(other.name_)),
      pid_(std::exchange(other.pid_, 0)),
      output_(std::exchange(other.output_, -1)) {}

Process::~Process() {
  close_output();
  if (pid_ > 0) static_cast<void>(wait());
}

void Process::close_output() {
  if (output_ >= 0) ::close(std::exchange(output_, -1));
}

Status Process::read(std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    ssize_t n = ::read(output_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail("{}: its output cannot be read: {}", name_, reason(errno));
    if (n == 0) return fail("{}: its output ended too early", name_);
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return {};
}

Result<std::string> Process::read_line(size_t longest) {
  std::string line;
  for (std::byte b{}; line.size() <= longest; line += static_cast<char>(b)) {
    NB_OK(read({&b, 1}));
    if (static_cast<char>(b) == '\n') return line;
  }
  return fail("{}: a line of its output is longer than {} bytes", name_, longest);
}

Result<int> Process::wait() {
  int status = 0;
  pid_t pid = std::exchange(pid_, 0);
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFSIGNALED(status)) return fail("{}: was ended by signal {}", name_, WTERMSIG(status));
  return WEXITSTATUS(status);
}

}  // namespace nibble
