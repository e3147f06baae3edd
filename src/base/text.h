// Text in small.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

namespace nibble {

// A to Z become a to z; all other bytes stay.
inline std::string lower_ascii(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return out;
}

}  // namespace nibble
