// What decode and prefill share: the sums of one segment, 8 rows x W activation rows. `Dot` is how
// an instruction set multiplies:
//   add_blocks<Codes, W>(at, blocks, d)   d[2c + h] += multiplier * products, half h of rows,
//                                         activation row c; moves `at` over the blocks
#pragma once

#include "kernels/arm/vectors.h"

namespace nibble {
namespace {

// A place in a panel and in the activations that it meets.
struct Place {
  const uint8_t* codes;
  const int8_t* a;
  const uint32_t* pairs;
  const int32_t* term;
};

// The last group of a row may have fewer, and its last segment fewer blocks.
NIBBLE_INLINE int64_t segments_per_group(const Product& p) {
  return p.w.groups == 1 ? p.segments : p.w.blocks_per_group / p.blocks_per_segment;
}

// About 2 KB ahead: rows of panels outrun the hardware prefetchers, which stop at 4 KB pages.
constexpr int64_t kPrefetch = 2048;

template <class Codes, int W>
NIBBLE_INLINE void next_block(Place& at) {
  if constexpr (Codes::kStreamed)
    for (int64_t line = 0; line < Codes::kBytes; line += 64)
      __builtin_prefetch(at.codes + kPrefetch + line);
  at.codes += Codes::kBytes;
  at.a += kBlockCols * W;
  at.pairs += W;
}

// A Dot from a `Block` that adds one block: add_block<Codes, W>(codes, a, pairs, d).
template <class Block>
struct BlockDot {
  template <class Codes, int W>
  static NIBBLE_METHOD void add_blocks(Place& at, int64_t blocks, int32x4_t* d) {
    do {
      Block::template add_block<Codes, W>(at.codes, at.a, at.pairs, d);
      next_block<Codes, W>(at);
    } while (--blocks > 0);
  }
};

// acc[2c + h] += scale * the sums of the next `blocks` blocks, one segment. Bytes are signed and
// have no term (see Product) but for the zero points.
template <class Dot, class Codes, bool kZeros, int W>
NIBBLE_INLINE void add_segment(Place& at, int64_t blocks, const float32x4_t* scales,
                               const int32x4_t* zeros, float32x4_t* acc) {
  int32x4_t d[kHalves * W];
  NIBBLE_UNROLL
  for (int i = 0; i < kHalves * W; ++i) {
    if constexpr (kZeros)
      d[i] = vmulq_n_s32(zeros[i % kHalves], at.term[i / kHalves]);
    else
      d[i] = vdupq_n_s32(Codes::kSmall ? at.term[i / kHalves] : 0);
  }
  Dot::template add_blocks<Codes, W>(at, blocks, d);
  NIBBLE_UNROLL
  for (int i = 0; i < kHalves * W; ++i)
    acc[i] = vfmaq_f32(acc[i], vcvtq_f32_s32(d[i]), scales[i % kHalves]);
  at.term += W;
}

}  // namespace
}  // namespace nibble
