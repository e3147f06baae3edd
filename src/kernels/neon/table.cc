// What every 64-bit ARM has (Cortex-A53, A72): bytes multiplied to 16 bits, 8 at a time.
#include "kernels/arm/gemm.h"
#include "kernels/arm/gemv.h"
#include "kernels/arm/registers.h"
#include "kernels/neon/neon.h"

namespace nibble {
namespace {

// Hidden from the compiler: knowing that both halves are alike, clang multiplies by the low one
// alone and must bring the weights' high half down to it (10 instructions a block).
NIBBLE_INLINE int8x16_t broadcast4(const int8_t* p) {
  int v;
  __builtin_memcpy(&v, p, 4);
  int32x4_t b = vdupq_n_s32(v);
  __asm__("" : "+w"(b));
  return vreinterpretq_s8_s32(b);
}

// Products of codes of at most 4 bits, 8 in a 16-bit lane: at most 8 * 15 * 127, so that even two
// neighbours fit.
template <class Codes, int W>
NIBBLE_INLINE void multiply_codes(const uint8_t* codes, const int8_t* a, int32x4_t* sums) {
  int16x8_t low[kHalves * W], high[kHalves * W];  // the half's first and last two rows
  NIBBLE_UNROLL
  for (int i = 0; i < 8; ++i) {
    int g = Codes::group(i);
    NIBBLE_UNROLL
    for (int c = 0; c < W; ++c) {
      int8x16_t b = broadcast4(a + 4 * quad(g, c, W));
      NIBBLE_UNROLL
      for (int h = 0; h < kHalves; ++h) {
        int8x16_t w = Codes::at(codes, g, h);
        int16x8_t &l = low[kHalves * c + h], &u = high[kHalves * c + h];
        l = i ? vmlal_s8(l, vget_low_s8(w), vget_low_s8(b))
              : vmull_s8(vget_low_s8(w), vget_low_s8(b));
        u = i ? vmlal_high_s8(u, w, b) : vmull_high_s8(w, b);
      }
    }
  }
  NIBBLE_UNROLL
  for (int i = 0; i < kHalves * W; ++i) sums[i] = vpaddlq_s16(vpaddq_s16(low[i], high[i]));
}

// Signed bytes: two products, at most 2 * 128 * 127, fit 16 bits and no more.
template <class Codes, int W>
NIBBLE_INLINE void multiply_bytes(const uint8_t* codes, const int8_t* a, int32x4_t* sums) {
  int32x4_t low[kHalves * W], high[kHalves * W];
  NIBBLE_UNROLL
  for (int g = 0; g < 8; g += 2) {
    NIBBLE_UNROLL
    for (int c = 0; c < W; ++c) {
      int8x16_t b0 = broadcast4(a + 4 * quad(g, c, W)), b1 = broadcast4(a + 4 * quad(g + 1, c, W));
      NIBBLE_UNROLL
      for (int h = 0; h < kHalves; ++h) {
        int8x16_t w0 = Codes::at(codes, g, h), w1 = Codes::at(codes, g + 1, h);
        int16x8_t l = vmull_s8(vget_low_s8(w0), vget_low_s8(b0));
        l = vmlal_s8(l, vget_low_s8(w1), vget_low_s8(b1));
        int16x8_t u = vmlal_high_s8(vmull_high_s8(w0, b0), w1, b1);
        int32x4_t &sl = low[kHalves * c + h], &su = high[kHalves * c + h];
        sl = g ? vpadalq_s16(sl, l) : vpaddlq_s16(l);
        su = g ? vpadalq_s16(su, u) : vpaddlq_s16(u);
      }
    }
  }
  NIBBLE_UNROLL
  for (int i = 0; i < kHalves * W; ++i) sums[i] = vpaddq_s32(low[i], high[i]);
}

struct WideningBlock {
  template <class Codes, int W>
  static NIBBLE_METHOD void add_block(const uint8_t* codes, const int8_t* a, const uint32_t* pairs,
                                      int32x4_t* d) {
    int32x4_t sums[kHalves * W];
    if constexpr (Codes::kSmall)
      multiply_codes<Codes, W>(codes, a, sums);
    else
      multiply_bytes<Codes, W>(codes, a, sums);
    int32x4_t m = load_multipliers<W>(pairs);
    NIBBLE_UNROLL
    for (int i = 0; i < kHalves * W; ++i) d[i] = add_times_lane(d[i], sums[i], m, i / kHalves);
  }
};

struct Dot : BlockDot<WideningBlock> {
  static constexpr bool kPlain = true;
  template <CodeLayout L>
  static NIBBLE_METHOD void unpack_block(const uint8_t* from, uint8_t* to) {
    unpack_plainly<L>(from, to);
  }
};

struct ByteMultiply {
  using Sum = int16x8_t;
  static constexpr int64_t kMacs = 8;
  static NIBBLE_METHOD Sum add(Sum sum, int8x16_t u, int8x16_t s) {
    return vmlal_s8(sum, vget_low_s8(u), vget_low_s8(s));
  }
};

}  // namespace

extern const KernelTable kernels_neon;
const KernelTable kernels_neon = {
    .name = "neon",
    .needs = "ARMv8",
    .supported = [](const CpuFeatures&) { return true; },
    .panel_rows = kRows,
    .activation_run = kRun,
    .quantize_row = neon::quantize_row,
    .gemv = gemv_with<Dot>,
    .gemm = gemm_with<Dot>,
    .gemm_scratch = gemm_scratch_for,
    .gemm_panels = 1,
    .gemm_from = 12,  // by the counts of bench/arm_instructions
    .multiply_registers = multiply_registers_with<ByteMultiply>,
    .floats = &float_ops_reference,
};

}  // namespace nibble
