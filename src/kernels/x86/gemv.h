// Decode: packed codes stream once past up to four activation rows (performance.md 2.4). `Dot` is
// how an instruction set multiplies a block:
//   add_block<L, W>(codes, a, pairs, d)   d[c] += multiplier * products of a packed block, kRows x
//   W kSignedBytes                          whether it takes kByte codes as signed, without
//                                         Product::term
#pragma once

#include "kernels/x86/vectors.h"

namespace nibble {
namespace {

// Memory is asked for ahead of its use, codes and scales as the one stream that they are; a panel's
// share of both for each block. Far ahead only into L2: lines on their way to L1 need buffers, too
// few for what memory gives. Bytes leave little to do between loads, and the hardware's own
// prefetchers do the rest.
template <CodeLayout L>
NIBBLE_INLINE void prefetch(const uint8_t* ahead) {
  constexpr int64_t kFar = L == CodeLayout::kByte ? 4096 : 16384, kNear = 2048;
  for (int64_t line = 0; line <= block_bytes(L); line += 64) {
    auto p = reinterpret_cast<const char*>(ahead + line);
    _mm_prefetch(p + kFar, _MM_HINT_T1);
    if (L != CodeLayout::kByte) _mm_prefetch(p + kNear, _MM_HINT_T0);
  }
}

// kShort: groups of one block, so that no loop is needed inside a group.
template <class Dot, CodeLayout L, int W, bool kZeros, bool kShort>
__attribute__((noinline)) void multiply_panel(const Product& p, int64_t panel, int64_t column) {
  constexpr bool kTerm = !(L == CodeLayout::kByte && Dot::kSignedBytes);
  const Panels& w = p.w;
  const uint8_t* base = w.data + panel * w.panel_bytes;
  const uint8_t* codes = base;
  const uint8_t* ahead = base;
  const int64_t ahead_step = w.panel_bytes / w.blocks;
  const int8_t* a = p.a + column * w.blocks * kBlockCols;
  const uint32_t* pairs = p.pairs + column * w.blocks;
  const int32_t* term = p.term + column * p.segments;
  Floats acc[W] = {};
  for (int64_t block = 0, g = 0; g < w.groups; ++g) {
    Floats scale_w = load_scales(w, base, g);
    Vector zeros = {};
    if constexpr (kZeros) zeros = load_zeros(w, base, g, L == CodeLayout::kByte && kTerm ? 128 : 0);
    int64_t group_end = block + w.blocks_per_group;
    if (group_end > w.blocks) group_end = w.blocks;
    do {
      Vector d[W];
      NIBBLE_UNROLL
      for (int c = 0; c < W; ++c) {
        if constexpr (kZeros)
          d[c] = multiply(zeros, all(term[c]));
        else
          d[c] = kTerm ? all(term[c]) : Vector{};
      }
      int64_t end = block + p.blocks_per_segment;
      if (end > group_end) end = group_end;
      do {
        prefetch<L>(ahead);
        ahead += ahead_step;
        Dot::template add_block<L, W>(codes, a, pairs, d);
        codes += block_bytes(L);
        a += kBlockCols * W;
        pairs += W;
      } while (++block < end && !kShort);
      NIBBLE_UNROLL
      for (int c = 0; c < W; ++c) acc[c] = fma(to_floats(d[c]), scale_w, acc[c]);
      term += W;
    } while (block < group_end && !kShort);
  }
  NIBBLE_UNROLL
  for (int c = 0; c < W; ++c) store_rows(p, column + c, panel, acc[c]);
}

template <class Dot, CodeLayout L, bool kZeros, bool kShort>
void multiply_panels(const Product& p, int64_t first, int64_t last) {
  for (int64_t panel = first; panel < last; ++panel) {
    for (int64_t column = 0; column < p.m; column += kRowGroup) {
      switch (p.m - column) {
        case 1:
          multiply_panel<Dot, L, 1, kZeros, kShort>(p, panel, column);
          break;
        case 2:
          multiply_panel<Dot, L, 2, kZeros, kShort>(p, panel, column);
          break;
        case 3:
          multiply_panel<Dot, L, 3, kZeros, kShort>(p, panel, column);
          break;
        default:
          multiply_panel<Dot, L, 4, kZeros, kShort>(p, panel, column);
          break;
      }
    }
  }
}

template <class Dot, CodeLayout L>
void multiply_panels(const Product& p, int64_t first, int64_t last) {
  bool one = p.w.blocks_per_group == 1;
  if (p.w.group_zeros)
    one ? multiply_panels<Dot, L, true, true>(p, first, last)
        : multiply_panels<Dot, L, true, false>(p, first, last);
  else
    one ? multiply_panels<Dot, L, false, true>(p, first, last)
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
