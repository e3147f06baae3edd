#include "base/result.h"

#include <cstdio>
#include <cstdlib>

namespace nibble {

void broken_promise(const char* file, int line, std::string_view what) {
  fmt::print(stderr, "nibble: internal error at {}:{}: {}\n", file, line, what);
  std::abort();
}

}  // namespace nibble
