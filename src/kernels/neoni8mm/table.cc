// ARMv8.6 (ARMv8.2 and i8mm): Cortex-A510, A710, X2, Neoverse V1 and later. Few rows by SDOT, many
// by SMMLA: 2 rows x 8 columns times 8 columns x 2 activation rows, 32 multiplications.
#include "kernels/arm/registers.h"
#include "kernels/arm/sdot.h"
#include "kernels/neon/neon.h"

namespace nibble {
namespace {

// Two multipliers, as the lanes of a tile's columns.
template <int W>
NIBBLE_INLINE int32x4_t tile_multipliers(const uint32_t* pairs, int c) {
  uint32x2_t m = c + 1 < W ? vld1_u32(pairs + c) : vdup_n_u32(pairs[c]);
  return vreinterpretq_s32_u32(vcombine_u32(m, m) >> 16);
}

struct SmmlaDot {
  static constexpr bool kPlain = false;

  // (4 runs of 8 columns, 4 pairs of rows, 2 rows, 8 columns)
  template <CodeLayout L>
  static NIBBLE_METHOD void unpack_block(const uint8_t* from, uint8_t* to) {
    int32x4_t w[8][kHalves];
    NIBBLE_UNROLL
    for (int g = 0; g < 8; ++g)
      for (int h = 0; h < kHalves; ++h) w[g][h] = vreinterpretq_s32_s8(Packed<L>::at(from, g, h));
    auto* out = reinterpret_cast<int32_t*>(to);
    NIBBLE_UNROLL
    for (int g = 0; g < 8; g += 2) {
      for (int h = 0; h < kHalves; ++h, out += 8) {
        vst1q_s32(out, vzip1q_s32(w[g][h], w[g + 1][h]));
        vst1q_s32(out + 4, vzip2q_s32(w[g][h], w[g + 1][h]));
      }
    }
  }

  // For the length of a segment the sums are tiles of 2 rows x 2 activation rows.
  template <class Codes, int W>
  static NIBBLE_METHOD void add_blocks(Place& at, int64_t blocks, int32x4_t* d) {
    constexpr int kPairs = (W + 1) / 2, kTiles = 4 * kPairs;
    int32x4_t tiles[kTiles];
    NIBBLE_UNROLL
    for (int i = 0; i < kTiles; ++i) {
      int c = i / 4 * 2, h = i / 2 % 2;
      const int32x4_t &left = d[kHalves * c + h], &right = d[kHalves * (c + 1 < W ? c + 1 : c) + h];
      tiles[i] = i % 2 ? vzip2q_s32(left, right) : vzip1q_s32(left, right);
    }
    do {
      int32x4_t sums[kTiles];
      multiply_block<W>(at.codes, at.a, sums);
      NIBBLE_UNROLL
      for (int i = 0; i < kTiles; ++i)
        tiles[i] = vmlaq_s32(tiles[i], sums[i], tile_multipliers<W>(at.pairs, i / 4 * 2));
      next_block<Codes, W>(at);
    } while (--blocks > 0);
    NIBBLE_UNROLL
    for (int c = 0; c < W; ++c) {
      NIBBLE_UNROLL
      for (int h = 0; h < kHalves; ++h) {
        const int32x4_t* t = tiles + c / 2 * 4 + 2 * h;
        d[kHalves * c + h] = c % 2 ? vuzp2q_s32(t[0], t[1]) : vuzp1q_s32(t[0], t[1]);
      }
    }
  }

 private:
  template <int W>
  static NIBBLE_METHOD void multiply_block(const uint8_t* codes, const int8_t* a, int32x4_t* sums) {
    constexpr int kPairs = (W + 1) / 2;
    NIBBLE_UNROLL
    for (int i = 0; i < 4 * kPairs; ++i) sums[i] = vdupq_n_s32(0);
    NIBBLE_UNROLL
    for (int j = 0; j < 4; ++j) {
      NIBBLE_UNROLL
      for (int c = 0; c < W; c += 2) {
        const int8_t* run = a + (j * W + c) * kRun;
        int8x16_t b = c + 1 < W ? vld1q_s8(run) : vcombine_s8(vld1_s8(run), vdup_n_s8(0));
        NIBBLE_UNROLL
        for (int r = 0; r < 4; ++r) {
          int8x16_t w = vreinterpretq_s8_u8(load(codes + 64 * j + 16 * r));
          sums[c / 2 * 4 + r] = vmmlaq_s32(sums[c / 2 * 4 + r], w, b);
        }
      }
    }
  }
};

struct ByteMultiply {
  using Sum = int32x4_t;
  static constexpr int64_t kMacs = 32;
  static NIBBLE_METHOD Sum add(Sum sum, int8x16_t u, int8x16_t s) { return vmmlaq_s32(sum, u, s); }
};

}  // namespace

extern const KernelTable kernels_neoni8mm;
const KernelTable kernels_neoni8mm = {
    .name = "neoni8mm",
    .needs = "ARMv8.2 dotprod, i8mm",
    .supported = [](const CpuFeatures& cpu) { return cpu.dotprod && cpu.i8mm; },
    .panel_rows = kRows,
    .activation_run = kRun,
    .quantize_row = neon::quantize_row,
    .gemv = gemv_with<SdotDot>,
    .gemm = gemm_with<SmmlaDot>,
    .gemm_scratch = gemm_scratch_for,
    .gemm_panels = 1,
    .gemm_from = 8,  // by the counts of bench/arm_instructions
    .multiply_registers = multiply_registers_with<ByteMultiply>,
    .floats = &float_ops_reference,
};

}  // namespace nibble
