// Products by vpdpbusd, which adds four unsigned x signed byte products to 32 bits and never
// saturates: no 16-bit sums, bytes as they are. The including file defines `dpbusd` for its own
// encoding of the instruction.
#pragma once

#include "kernels/x86/gemm.h"
#include "kernels/x86/gemv.h"

namespace nibble {
namespace {

NIBBLE_INLINE Vector multiplier(const uint32_t* pairs) {
  return all(static_cast<int>(*pairs >> 16));
}

struct VnniDot {
  static constexpr bool kSignedBytes = false, kSplitBytes = false;

  template <CodeLayout L, int W>
  static NIBBLE_METHOD void add_block(const uint8_t* codes, const int8_t* a, const uint32_t* pairs,
                                      Vector* d) {
    Vector w[8];
    if constexpr (L == CodeLayout::kByte) {
      NIBBLE_UNROLL
      for (int g = 0; g < 8; ++g) w[g] = load(codes + kVectorBytes * g) ^ all_bytes(-128);
    } else {
      unpack<L>(codes, w);
    }
    // One row's products would wait for each other: two sums.
    constexpr int kSums = W == 1 ? 2 : W;
    Vector sum[kSums] = {};
    NIBBLE_UNROLL
    for (int g = 0; g < 8; ++g) {
      NIBBLE_UNROLL
      for (int c = 0; c < W; ++c) {
        int j = W == 1 ? g % 2 : c;
        sum[j] = dpbusd(sum[j], w[g], broadcast4(a + 4 * (g * W + c)));
      }
    }
    if constexpr (W == 1) sum[0] = add(sum[0], sum[1]);
    NIBBLE_UNROLL
    for (int c = 0; c < W; ++c) d[c] = add(d[c], multiply(sum[c], multiplier(pairs + c)));
  }

  template <bool kBytes, int W>
  static NIBBLE_METHOD void multiply_block(const uint8_t* w, const int8_t* a, const uint32_t* pairs,
                                           Vector* d) {
    static_assert(!kBytes);
    NIBBLE_UNROLL
    for (int c = 0; c < 2 * W; ++c) d[c] = Vector{};
    NIBBLE_UNROLL
    for (int g = 0; g < 8; ++g) {
      Vector w0 = load(w + 2 * kVectorBytes * g),
             w1 = load(w + 2 * kVectorBytes * g + kVectorBytes);
      NIBBLE_UNROLL
      for (int c = 0; c < W; ++c) {
        Vector b = broadcast4(a + 4 * (g * W + c));
        d[c] = dpbusd(d[c], w0, b);
        d[W + c] = dpbusd(d[W + c], w1, b);
      }
    }
    NIBBLE_UNROLL
    for (int c = 0; c < W; ++c) {
      Vector m = multiplier(pairs + c);
      d[c] = multiply(d[c], m);
      d[W + c] = multiply(d[W + c], m);
    }
  }
};

}  // namespace
}  // namespace nibble
