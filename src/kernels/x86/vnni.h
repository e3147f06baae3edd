// Products by vpdpbusd, which adds four unsigned x signed byte products to 32 bits and never
// saturates: no 16-bit sums, bytes as they are. The including file defines `dpbusd` for its own
// encoding of the instruction.
#pragma once

#include "kernels/x86/gemm.h"
#include "kernels/x86/gemv.h"

namespace nibble {
namespace {

NIBBLE_INLINE __m256i multiplier(const uint32_t* pairs) {
  return _mm256_srli_epi32(broadcast_pair(pairs), 16);
}

struct VnniDot {
  static constexpr bool kSignedBytes = false, kSplitBytes = false;

  template <CodeLayout L, int W>
  static NIBBLE_METHOD void add_block(const uint8_t* codes, const int8_t* a, const uint32_t* pairs,
                                      __m256i* d) {
    __m256i w[8];
    if constexpr (L == CodeLayout::kByte) {
      NIBBLE_UNROLL
      for (int g = 0; g < 8; ++g)
        w[g] = _mm256_xor_si256(load(codes + 32 * g), _mm256_set1_epi8(-128));
    } else {
      unpack<L>(codes, w);
    }
    __m256i sum[W];
    NIBBLE_UNROLL
    for (int c = 0; c < W; ++c) sum[c] = _mm256_setzero_si256();
    NIBBLE_UNROLL
    for (int g = 0; g < 8; ++g) {
      NIBBLE_UNROLL
      for (int c = 0; c < W; ++c) sum[c] = dpbusd(sum[c], w[g], broadcast4(a + 4 * (g * W + c)));
    }
    NIBBLE_UNROLL
    for (int c = 0; c < W; ++c)
      d[c] = _mm256_add_epi32(d[c], _mm256_mullo_epi32(sum[c], multiplier(pairs + c)));
  }

  template <bool kBytes, int W>
  static NIBBLE_METHOD void multiply_block(const uint8_t* w, const int8_t* a, const uint32_t* pairs,
                                           __m256i* d) {
    static_assert(!kBytes);
    NIBBLE_UNROLL
    for (int c = 0; c < 2 * W; ++c) d[c] = _mm256_setzero_si256();
    NIBBLE_UNROLL
    for (int g = 0; g < 8; ++g) {
      __m256i w0 = load(w + 64 * g), w1 = load(w + 64 * g + 32);
      NIBBLE_UNROLL
      for (int c = 0; c < W; ++c) {
        __m256i b = broadcast4(a + 4 * (g * W + c));
        d[c] = dpbusd(d[c], w0, b);
        d[W + c] = dpbusd(d[W + c], w1, b);
      }
    }
    NIBBLE_UNROLL
    for (int c = 0; c < W; ++c) {
      __m256i m = multiplier(pairs + c);
      d[c] = _mm256_mullo_epi32(d[c], m);
      d[W + c] = _mm256_mullo_epi32(d[W + c], m);
    }
  }
};

}  // namespace
}  // namespace nibble
