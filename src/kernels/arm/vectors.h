// Vectors of 8 rows x 4 columns as two registers, halves of 4 rows: loads, unpacking, stores.
// Everything in arm/ is local to the file that includes it, so that no copy compiled with a
// folder's flags is ever linked elsewhere.
#pragma once

#include <arm_neon.h>

#include "kernels/inline.h"
#include "kernels/table.h"

namespace nibble {
namespace {

constexpr int kRows = 8, kHalves = 2;
// KernelTable::activation_run of the ARM tables: what SMMLA takes of one activation row.
constexpr int kRun = 8;

NIBBLE_INLINE uint8x16_t load(const uint8_t* p) { return vld1q_u8(p); }

// Where the four codes of activation row c of W stand that meet column group g of a block, counted
// in fours from the block's first.
NIBBLE_METHOD constexpr int quad(int g, int c, int W) { return (g / 2 * W + c) * 2 + g % 2; }

// Instructions "by element" want the lane as a literal; after unrolling one case is left.
NIBBLE_INLINE int32x4_t add_times_lane(int32x4_t sum, int32x4_t v, int32x4_t m, int lane) {
  switch (lane) {
    case 0:
      return vmlaq_laneq_s32(sum, v, m, 0);
    case 1:
      return vmlaq_laneq_s32(sum, v, m, 1);
    case 2:
      return vmlaq_laneq_s32(sum, v, m, 2);
    default:
      return vmlaq_laneq_s32(sum, v, m, 3);
  }
}

// A block's multipliers of W activation rows, one a lane.
template <int W>
NIBBLE_INLINE int32x4_t load_multipliers(const uint32_t* pairs) {
  uint32x4_t m;
  if constexpr (W == 1) {
    m = vdupq_n_u32(pairs[0]);
  } else if constexpr (W == 4) {
    m = vld1q_u32(pairs);
  } else {
    m = vcombine_u32(vld1_u32(pairs), vdup_n_u32(pairs[W - 1]));
  }
  return vreinterpretq_s32_u32(m >> 16);
}

// How a block of 32 columns lies in memory. `at` gives column group g of half h as signed bytes;
// `group(i)` is the i-th group in an order in which groups that share loads are neighbours.
// kSmall: codes of at most 4 bits, unsigned.
template <CodeLayout L>
struct Packed {
  static constexpr bool kSmall = L != CodeLayout::kByte, kStreamed = true;
  static constexpr int64_t kBytes = L == CodeLayout::kByte       ? 256
                                    : L == CodeLayout::kNibble   ? 128
                                    : L == CodeLayout::kThreeBit ? 96
                                                                 : 64;
  static NIBBLE_METHOD int group(int i) { return L == CodeLayout::kNibble ? i / 2 + i % 2 * 4 : i; }
  static NIBBLE_METHOD int8x16_t at(const uint8_t* block, int g, int h) {
    const uint8_t* v = block + 16 * h;
    uint8x16_t codes;
    if constexpr (L == CodeLayout::kNibble) {
      codes = g < 4 ? load(v + 32 * g) & 15 : load(v + 32 * (g - 4)) >> 4;
    } else if constexpr (L == CodeLayout::kTwoBit) {
      codes = load(v + 32 * (g / 4)) >> g % 4 * 2;
      if (g % 4 < 3) codes &= 3;
    } else if constexpr (L == CodeLayout::kThreeBit) {
      if (g < 6)
        codes = load(v + 32 * (g / 2)) >> g % 2 * 3 & 7;
      else  // the low two bits are inserted below the high one
        codes = vsriq_n_u8(load(v + 64) >> (g - 2) & 4, load(v + 32 * (g - 6)), 6);
    } else {
      codes = load(v + 32 * g);
    }
    return vreinterpretq_s8_u8(codes);
  }
};

// One byte a code: what Packed<L> becomes in a strip. Not prefetched: it is in L1.
template <bool kSmallCodes>
struct Unpacked {
  static constexpr bool kSmall = kSmallCodes, kStreamed = false;
  static constexpr int64_t kBytes = 256;
  static NIBBLE_METHOD int group(int i) { return i; }
  static NIBBLE_METHOD int8x16_t at(const uint8_t* block, int g, int h) {
    return vreinterpretq_s8_u8(load(block + 32 * g + 16 * h));
  }
};

// A panel's scales of one group.
NIBBLE_INLINE int64_t scale_bytes(const Panels& p) {
  return p.scales == ScaleLayout::kF32 ? 4 * kRows : 2 * kRows;
}

NIBBLE_INLINE void load_scales(ScaleLayout layout, const uint8_t* at, float32x4_t* scales) {
  if (layout == ScaleLayout::kF32) {
    for (int h = 0; h < kHalves; ++h) scales[h] = vreinterpretq_f32_u8(load(at + 16 * h));
    return;
  }
  uint8x16_t halves = load(at);
  if (layout == ScaleLayout::kF16) {
    scales[0] = vcvt_f32_f16(vget_low_f16(vreinterpretq_f16_u8(halves)));
    scales[1] = vcvt_high_f32_f16(vreinterpretq_f16_u8(halves));
  } else {
    scales[0] = vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vget_low_u8(halves)), 16));
    scales[1] = vreinterpretq_f32_u32(vshll_high_n_u16(vreinterpretq_u16_u8(halves), 16));
  }
}

NIBBLE_INLINE void load_zeros(const uint8_t* at, int32x4_t* zeros) {
  int16x8_t wide = vmovl_s8(vreinterpret_s8_u8(vld1_u8(at)));
  zeros[0] = vmovl_s16(vget_low_s16(wide));
  zeros[1] = vmovl_high_s16(wide);
}

// y from the sums of one activation row and the 8 rows of a panel, those that are there. Once a
// panel, so not worth a copy in every loop.
__attribute__((noinline)) void store_rows(const Product& p, int64_t column, int64_t panel,
                                          float32x4_t front, float32x4_t back) {
  int64_t row = panel * kRows, left = p.w.n - row;
  float values[kRows];
  vst1q_f32(values, vmulq_n_f32(front, p.scale[column]));
  vst1q_f32(values + 4, vmulq_n_f32(back, p.scale[column]));
  float* y = p.y + column * p.ldy + row;
  for (int64_t r = 0; r < left && r < kRows; ++r)
    y[r] = p.bias ? values[r] + p.bias[row + r] : values[r];
}

// Calls body.operator()<L, kZeros>() as the weights are, and body.operator()<W>().
template <CodeLayout L, class Body>
void with_zeros(const Panels& w, Body body) {
  if (w.group_zeros)
    body.template operator()<L, true>();
  else
    body.template operator()<L, false>();
}

template <class Body>
void with_layout(const Panels& w, Body body) {
  switch (w.layout) {
    case CodeLayout::kTwoBit:
      return with_zeros<CodeLayout::kTwoBit>(w, body);
    case CodeLayout::kThreeBit:
      return with_zeros<CodeLayout::kThreeBit>(w, body);
    case CodeLayout::kNibble:
      return with_zeros<CodeLayout::kNibble>(w, body);
    case CodeLayout::kByte:
      return with_zeros<CodeLayout::kByte>(w, body);
  }
}

template <class Body>
void with_width(int64_t width, Body body) {
  switch (width) {
    case 1:
      return body.template operator()<1>();
    case 2:
      return body.template operator()<2>();
    case 3:
      return body.template operator()<3>();
    default:
      return body.template operator()<4>();
  }
}

}  // namespace
}  // namespace nibble
