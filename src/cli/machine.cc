#include "cli/machine.h"

#include <sys/utsname.h>

#include "base/file.h"

namespace nibble {

std::string cpu_name() {
  if (auto text = read_file("/proc/cpuinfo", 1 << 26)) {
    size_t at = text->find("model name");
    if (at != std::string::npos && (at = text->find(": ", at)) != std::string::npos)
      return text->substr(at + 2, text->find('\n', at) - at - 2);
  }
  utsname info;
  return ::uname(&info) == 0 ? info.machine : "unknown CPU";
}

}  // namespace nibble
