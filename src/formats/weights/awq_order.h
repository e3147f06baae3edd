// Where AWQ's GEMM layout has the eight outputs of a word.
#pragma once

#include <array>
#include <cstdint>

namespace nibble {

// Nibble i of word c, low bits first, is output 8 c + kAwqOrder[i].
inline constexpr std::array<int64_t, 8> kAwqOrder = {0, 2, 4, 6, 1, 3, 5, 7};

}  // namespace nibble
