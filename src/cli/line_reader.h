// Lines of standard input for a conversation at a terminal.
#pragma once

#include <atomic>
#include <optional>
#include <string>

namespace nibble {

// From here on Ctrl-C sets this instead of ending the program.
std::atomic<bool>& interrupt_flag();

class LineReader {
 public:
  enum class Got : uint8_t { kLine, kInterrupt, kEnd };
  // The next line without its end; kInterrupt where Ctrl-C came first.
  Got next(std::string& line);

 private:
  std::string held_;
};

}  // namespace nibble
