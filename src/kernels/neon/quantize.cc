// Activations to int8, the reference's bits: the same division, rounding and treatment of NaN.
#include <arm_neon.h>

#include "kernels/inline.h"
#include "kernels/neon/neon.h"

namespace nibble::neon {
namespace {

struct Block {
  float32x4_t v[8];
};

// 32 floats, of which `count` are there.
NIBBLE_INLINE Block load_block(const float* x, int64_t count) {
  Block b;
  float padded[kBlockCols];
  if (count < kBlockCols) {
    for (int64_t i = 0; i < kBlockCols; ++i) padded[i] = i < count ? x[i] : 0;
    x = padded;
  }
  NIBBLE_UNROLL
  for (int i = 0; i < 8; ++i) b.v[i] = vld1q_f32(x + 4 * i);
  return b;
}

// Not FMAXNM: that would let a signalling NaN through.
NIBBLE_INLINE float32x4_t larger(float32x4_t v, float32x4_t most) {
  return vbslq_f32(vcgtq_f32(v, most), v, most);
}

NIBBLE_INLINE float32x4_t widen_max(const Block& b, float32x4_t most) {
  NIBBLE_UNROLL
  for (int i = 0; i < 8; ++i) most = larger(vabsq_f32(b.v[i]), most);
  return most;
}

// Codes of a block, and their sum.
NIBBLE_INLINE int32_t encode_block(const Block& b, float scale, int8_t* codes) {
  const float32x4_t s = vdupq_n_f32(scale), low = vdupq_n_f32(-127), high = vdupq_n_f32(127);
  int32x4_t q[8], sum = vdupq_n_s32(0);
  NIBBLE_UNROLL
  for (int i = 0; i < 8; ++i) {
    // FMAXNM gives -127 for the quiet NaN that a division makes.
    float32x4_t v = vmaxnmq_f32(vrndnq_f32(vdivq_f32(b.v[i], s)), low);
    q[i] = vcvtq_s32_f32(vminq_f32(v, high));
    sum = vaddq_s32(sum, q[i]);
  }
  NIBBLE_UNROLL
  for (int i = 0; i < 8; i += 4) {
    int16x8_t front = vmovn_high_s32(vmovn_s32(q[i]), q[i + 1]);
    int16x8_t back = vmovn_high_s32(vmovn_s32(q[i + 2]), q[i + 3]);
    vst1q_s8(codes + 4 * i, vmovn_high_s16(vmovn_s16(front), back));
  }
  return vaddvq_s32(sum);
}

}  // namespace

float quantize_row(const float* x, int64_t k, bool per_token, int8_t* codes, int32_t* multipliers,
                   int32_t* sums) {
  const float32x4_t none = vdupq_n_f32(0);
  float32x4_t most = none;
  for (int64_t i = 0; i < k; i += kBlockCols) most = widen_max(load_block(x + i, k - i), most);
  float scale = vmaxvq_f32(most) / 127;
  if (!per_token) scale *= 1.f / kTopMultiplier;
  if (scale == 0) scale = 1;
  float m = 1;
  for (int64_t i = 0; i < k; i += kBlockCols) {
    Block b = load_block(x + i, k - i);
    if (!per_token) {
      float wanted = __builtin_ceilf(vmaxvq_f32(widen_max(b, none)) / (127 * scale));
      wanted = wanted > 1 ? wanted : 1;
      m = wanted < kTopMultiplier ? wanted : kTopMultiplier;
    }
    int64_t block = i / kBlockCols;
    multipliers[block] = static_cast<int32_t>(m);
    sums[block] = encode_block(b, scale * m, codes + i) * multipliers[block];
  }
  return scale;
}

}  // namespace nibble::neon
