// Decode: packed codes stream once past up to four activation rows (performance.md 2.4). `Dot` is
// how an instruction set multiplies a block:
//   add_block<L, W>(codes, a, d)   d[c] += products of a packed block, 8 rows x W
//   kSignedBytes                   whether it takes kByte codes as signed, without Product::term
#pragma once

#include "kernels/x86/vectors.h"

namespace nibble {
namespace {

// About 2 KB ahead: rows of panels outrun the hardware prefetchers, which stop at 4 KB pages.
constexpr int64_t kPrefetch = 2048;

// Reads one block and the lines that come a little later.
template <class Dot, CodeLayout L, int W>
NIBBLE_INLINE void take_block(const uint8_t*& codes, const int8_t*& a, __m256i* d) {
  constexpr int64_t kBytes = L == CodeLayout::kByte       ? 256
                             : L == CodeLayout::kNibble   ? 128
                             : L == CodeLayout::kThreeBit ? 96
                                                          : 64;
  for (int64_t line = 0; line < kBytes; line += 64)
    _mm_prefetch(reinterpret_cast<const char*>(codes + kPrefetch + line), _MM_HINT_T0);
  Dot::template add_block<L, W>(codes, a, d);
  codes += kBytes;
  a += kBlockCols * W;
}

// kLong: segments of several blocks (per-token activations).
template <class Dot, CodeLayout L, int W, bool kZeros, bool kLong>
__attribute__((noinline)) void multiply_panel(const Product& p, int64_t panel, int64_t column) {
  constexpr bool kTerm = !(L == CodeLayout::kByte && Dot::kSignedBytes);
  const Panels& w = p.w;
  const uint8_t* base = w.data + panel * w.panel_bytes;
  const uint8_t* codes = base;
  const int8_t* a = p.a + column * w.blocks * kBlockCols;
  const float* scale = p.scale + column * p.segments;
  const int32_t* term = p.term + column * p.segments;
  __m256 acc[W] = {};
  int64_t block = 0;
  for (int64_t g = 0; g < w.groups; ++g) {
    __m256 scale_w = load_scales(w, base, g);
    __m256i zeros = _mm256_setzero_si256();
    if constexpr (kZeros) zeros = load_zeros(w, base, g, L == CodeLayout::kByte && kTerm ? 128 : 0);
    int64_t group_end = block + w.blocks_per_group;
    if (group_end > w.blocks) group_end = w.blocks;
    do {
      __m256i d[W];
      NIBBLE_UNROLL
      for (int c = 0; c < W; ++c) {
        if constexpr (kZeros)
          d[c] = _mm256_mullo_epi32(zeros, _mm256_set1_epi32(term[c]));
        else
          d[c] = kTerm ? _mm256_set1_epi32(term[c]) : _mm256_setzero_si256();
      }
      if constexpr (kLong) {
        int64_t end = block + p.blocks_per_segment;
        if (end > group_end) end = group_end;
        for (; block < end; ++block) take_block<Dot, L, W>(codes, a, d);
      } else {
        take_block<Dot, L, W>(codes, a, d);
        ++block;
      }
      NIBBLE_UNROLL
      for (int c = 0; c < W; ++c)
        acc[c] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(d[c]),
                                 _mm256_mul_ps(scale_w, _mm256_set1_ps(scale[c])), acc[c]);
      scale += W;
      term += W;
    } while (block < group_end);
  }
  NIBBLE_UNROLL
  for (int c = 0; c < W; ++c) store_rows(p, column + c, panel, acc[c]);
}

template <class Dot, CodeLayout L, bool kZeros, bool kLong>
void multiply_panels(const Product& p, int64_t first, int64_t last) {
  for (int64_t panel = first; panel < last; ++panel) {
    for (int64_t column = 0; column < p.m; column += kRowGroup) {
      switch (p.m - column) {
        case 1:
          multiply_panel<Dot, L, 1, kZeros, kLong>(p, panel, column);
          break;
        case 2:
          multiply_panel<Dot, L, 2, kZeros, kLong>(p, panel, column);
          break;
        case 3:
          multiply_panel<Dot, L, 3, kZeros, kLong>(p, panel, column);
          break;
        default:
          multiply_panel<Dot, L, 4, kZeros, kLong>(p, panel, column);
          break;
      }
    }
  }
}

template <class Dot, CodeLayout L>
void multiply_panels(const Product& p, int64_t first, int64_t last) {
  bool many = p.blocks_per_segment > 1;
  if (p.w.group_zeros)
    many ? multiply_panels<Dot, L, true, true>(p, first, last)
         : multiply_panels<Dot, L, true, false>(p, first, last);
  else
    many ? multiply_panels<Dot, L, false, true>(p, first, last)
         : multiply_panels<Dot, L, false, false>(p, first, last);
}

template <class Dot>
void gemv_with(const Product& p, int64_t first, int64_t last) {
  switch (p.w.layout) {
    case CodeLayout::kTwoBit:
      return multiply_panels<Dot, CodeLayout::kTwoBit>(p, first, last);
    case CodeLayout::kThreeBit:
      return multiply_panels<Dot, CodeLayout::kThreeBit>(p, first, last);
    case CodeLayout::kNibble:
      return multiply_panels<Dot, CodeLayout::kNibble>(p, first, last);
    case CodeLayout::kByte:
      return multiply_panels<Dot, CodeLayout::kByte>(p, first, last);
  }
}

}  // namespace
}  // namespace nibble
