// Another program, run to its end.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace nibble {

// Reads `input` from its standard input (without one: what nibble itself would), and is read from
// its standard output; its messages pass on to standard error, or go to the file `messages`.
// Destroyed before wait(), it finds nobody who reads, and is waited for.
class Process {
 public:
  // `program` is a path or a name that PATH knows; `arguments` begin with the name it goes by.
  static Result<Process> start(const std::string& program,
                               const std::vector<std::string>& arguments,
                               std::optional<std::string_view> input = {},
                               const std::string& messages = "");
  Process(Process&& other) noexcept;
  ~Process();

  int output() const { return output_; }
  // Fills `bytes`; an error where the output ends before that.
  Status read(std::span<std::byte> bytes);
  // To the end of a line, which is left out. Refuses a longer one.
  Result<std::string> read_line(size_t longest);
  // Its exit code; an error where a signal ended it.
  Result<int> wait();

 private:
  Process(std::string name, pid_t pid, int output)
      : name_(std::move(name)), pid_(pid), output_(output) {}
  void close_output();
  std::string name_;
  pid_t pid_ = 0;
  int output_ = -1;
};

}  // namespace nibble
