// Products by SDOT: four signed byte products added to each 32-bit lane, the activations taken by
// lane, so one instruction is 4 rows x 4 columns. Codes of at most 4 bits are signed bytes as they
// are. For files compiled with +dotprod.
#pragma once

#include "kernels/arm/gemm.h"
#include "kernels/arm/gemv.h"

namespace nibble {
namespace {

NIBBLE_INLINE int32x4_t add_dots(int32x4_t sum, int8x16_t w, int8x16_t a, int lane) {
  switch (lane) {
    case 0:
      return vdotq_laneq_s32(sum, w, a, 0);
    case 1:
      return vdotq_laneq_s32(sum, w, a, 1);
    case 2:
      return vdotq_laneq_s32(sum, w, a, 2);
    default:
      return vdotq_laneq_s32(sum, w, a, 3);
  }
}

struct SdotBlock {
  template <class Codes, int W>
  static NIBBLE_METHOD void add_block(const uint8_t* codes, const int8_t* a, const uint32_t* pairs,
                                      int32x4_t* d) {
    // One activation row has two sums only; four keep both pipes busy (performance.md 3).
    constexpr int kChains = W == 1 ? 2 : 1, kSums = kHalves * W;
    int32x4_t sums[kChains * kSums];
    NIBBLE_UNROLL
    for (int i = 0; i < kChains * kSums; ++i) sums[i] = vdupq_n_s32(0);
    NIBBLE_UNROLL
    for (int i = 0; i < 8; ++i) {
      int g = Codes::group(i);
      NIBBLE_UNROLL
      for (int h = 0; h < kHalves; ++h) {
        int8x16_t w = Codes::at(codes, g, h);
        NIBBLE_UNROLL
        for (int c = 0; c < W; ++c) {
          int q = quad(g, c, W);
          int32x4_t& sum = sums[i % kChains * kSums + kHalves * c + h];
          sum = add_dots(sum, w, vld1q_s8(a + q / 4 * 16), q % 4);
        }
      }
    }
    int32x4_t m = load_multipliers<W>(pairs);
    NIBBLE_UNROLL
    for (int i = 0; i < kSums; ++i) {
      if constexpr (kChains == 2) sums[i] = vaddq_s32(sums[i], sums[kSums + i]);
      d[i] = add_times_lane(d[i], sums[i], m, i / kHalves);
    }
  }
};

struct SdotDot : BlockDot<SdotBlock> {
  static constexpr bool kPlain = true;
  template <CodeLayout L>
  static NIBBLE_METHOD void unpack_block(const uint8_t* from, uint8_t* to) {
    unpack_plainly<L>(from, to);
  }
};

}  // namespace
}  // namespace nibble
