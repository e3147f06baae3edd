// Vectors of 8 rows x 4 columns: loads, unpacking, stores. Everything in x86/ is local to the file
// that includes it, so that no copy compiled with a folder's flags is ever linked elsewhere.
#pragma once

#include <immintrin.h>

#include "kernels/table.h"

#if defined(__clang__)
#define NIBBLE_UNROLL _Pragma("clang loop unroll(full)")
#else
#define NIBBLE_UNROLL _Pragma("GCC unroll 8")
#endif
#define NIBBLE_METHOD inline __attribute__((always_inline))
#define NIBBLE_INLINE static NIBBLE_METHOD

namespace nibble {
namespace {

constexpr int kRows = 8;  // int32 lanes of a vector

NIBBLE_INLINE __m256i load(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}
NIBBLE_INLINE __m256i broadcast4(const int8_t* p) {
  int v;
  __builtin_memcpy(&v, p, 4);
  return _mm256_set1_epi32(v);
}

NIBBLE_INLINE __m256i broadcast_pair(const uint32_t* p) {
  return _mm256_set1_epi32(static_cast<int>(*p));
}

// Keeps a running sum in its register: left alone, clang turns eight chained additions into a tree
// whose many live halves spill (measured: a third of the speed).
NIBBLE_INLINE void pin(__m256i& v) { __asm__("" : "+v"(v)); }

constexpr int64_t block_bytes(CodeLayout layout) {
  return layout == CodeLayout::kByte       ? 256
         : layout == CodeLayout::kNibble   ? 128
         : layout == CodeLayout::kThreeBit ? 96
                                           : 64;
}

NIBBLE_INLINE const uint8_t* scales_at(const Panels& p, const uint8_t* panel, int64_t group) {
  return panel + p.scale_offset + group * kRows * (p.scales == ScaleLayout::kF32 ? 4 : 2);
}

NIBBLE_INLINE __m256 load_scales(const Panels& p, const uint8_t* panel, int64_t group) {
  const uint8_t* at = scales_at(p, panel, group);
  auto half = reinterpret_cast<const __m128i*>(at);
  if (__builtin_expect(p.scales == ScaleLayout::kF16, 1))
    return _mm256_cvtph_ps(_mm_loadu_si128(half));
  if (p.scales == ScaleLayout::kF32) return _mm256_loadu_ps(reinterpret_cast<const float*>(at));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(half)), 16));
}

// `moved` is what the kernel adds to every code.
NIBBLE_INLINE __m256i load_zeros(const Panels& p, const uint8_t* panel, int64_t group, int moved) {
  const uint8_t* at = panel + p.zero_offset + group * kRows;
  __m256i zeros = _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(at)));
  return _mm256_add_epi32(zeros, _mm256_set1_epi32(moved));
}

// A block of 32 columns to 8 vectors of unsigned codes.
template <CodeLayout L>
NIBBLE_INLINE void unpack(const uint8_t* p, __m256i* w) {
  if constexpr (L == CodeLayout::kNibble) {
    const __m256i low = _mm256_set1_epi8(15);
    NIBBLE_UNROLL
    for (int i = 0; i < 4; ++i) {
      __m256i v = load(p + 32 * i);
      w[i] = _mm256_and_si256(v, low);
      w[i + 4] = _mm256_and_si256(_mm256_srli_epi16(v, 4), low);
    }
  } else if constexpr (L == CodeLayout::kTwoBit) {
    const __m256i low = _mm256_set1_epi8(3);
    NIBBLE_UNROLL
    for (int i = 0; i < 2; ++i) {
      __m256i v = load(p + 32 * i);
      w[4 * i] = _mm256_and_si256(v, low);
      w[4 * i + 1] = _mm256_and_si256(_mm256_srli_epi16(v, 2), low);
      w[4 * i + 2] = _mm256_and_si256(_mm256_srli_epi16(v, 4), low);
      w[4 * i + 3] = _mm256_and_si256(_mm256_srli_epi16(v, 6), low);
    }
  } else {
    static_assert(L == CodeLayout::kThreeBit);
    const __m256i low = _mm256_set1_epi8(7), low2 = _mm256_set1_epi8(3), bit2 = _mm256_set1_epi8(4);
    __m256i v[3] = {load(p), load(p + 32), load(p + 64)};
    NIBBLE_UNROLL
    for (int i = 0; i < 3; ++i) {
      w[2 * i] = _mm256_and_si256(v[i], low);
      w[2 * i + 1] = _mm256_and_si256(_mm256_srli_epi16(v[i], 3), low);
    }
    NIBBLE_UNROLL
    for (int i = 0; i < 2; ++i) {
      __m256i two = _mm256_and_si256(_mm256_srli_epi16(v[i], 6), low2);
      __m256i one = _mm256_and_si256(_mm256_srli_epi16(v[2], 4 + i), bit2);
      w[6 + i] = _mm256_or_si256(two, one);
    }
  }
}

// y from the sums of one activation row and the 8 rows of a panel, those that are there.
NIBBLE_INLINE void store_rows(const Product& p, int64_t column, int64_t panel, __m256 sums) {
  __m256 v = _mm256_mul_ps(sums, _mm256_set1_ps(p.scale[column]));
  int64_t row = panel * kRows, left = p.w.n - row;
  float* y = p.y + column * p.ldy + row;
  if (left >= kRows) {
    if (p.bias) v = _mm256_add_ps(v, _mm256_loadu_ps(p.bias + row));
    _mm256_storeu_ps(y, v);
    return;
  }
  float values[kRows];
  _mm256_storeu_ps(values, v);
  for (int64_t r = 0; r < left; ++r) y[r] = p.bias ? values[r] + p.bias[row + r] : values[r];
}

}  // namespace
}  // namespace nibble
