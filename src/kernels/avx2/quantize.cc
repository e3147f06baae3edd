// Activations to int8, the reference's bits: the same division, rounding and treatment of NaN
// (max_ps and min_ps give their second operand where one is not a number).
#include "kernels/avx2/avx2.h"
#include "kernels/x86/vectors.h"

namespace nibble::avx2 {
namespace {

struct Block {
  __m256 v[4];
};

// 32 floats, of which `count` are there.
NIBBLE_INLINE Block load_block(const float* x, int64_t count) {
  Block b;
  alignas(32) float padded[kBlockCols];
  if (count < kBlockCols) {
    for (int64_t i = 0; i < kBlockCols; ++i) padded[i] = i < count ? x[i] : 0;
    x = padded;
  }
  NIBBLE_UNROLL
  for (int i = 0; i < 4; ++i) b.v[i] = _mm256_loadu_ps(x + 8 * i);
  return b;
}

NIBBLE_INLINE __m256 widen_max(const Block& b, __m256 most) {
  const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
  NIBBLE_UNROLL
  for (int i = 0; i < 4; ++i) most = _mm256_max_ps(_mm256_and_ps(b.v[i], magnitude), most);
  return most;
}

NIBBLE_INLINE float largest(__m256 most) {
  __m128 m = _mm_max_ps(_mm256_castps256_ps128(most), _mm256_extractf128_ps(most, 1));
  m = _mm_max_ps(m, _mm_movehl_ps(m, m));
  m = _mm_max_ss(m, _mm_movehdup_ps(m));
  return _mm_cvtss_f32(m);
}

// Codes of a block, and their sum.
NIBBLE_INLINE int32_t encode_block(const Block& b, float scale, int8_t* codes) {
  const __m256 s = _mm256_set1_ps(scale), low = _mm256_set1_ps(-127), high = _mm256_set1_ps(127);
  __m256i q[4];
  NIBBLE_UNROLL
  for (int i = 0; i < 4; ++i) {
    __m256 v =
        _mm256_round_ps(_mm256_div_ps(b.v[i], s), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    q[i] = _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(v, low), high));
  }
  __m256i packed =
      _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
  // The packs work in 128-bit halves; this puts their 4-byte pieces back in order.
  packed = _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes), packed);
  __m256i sum = _mm256_add_epi32(_mm256_add_epi32(q[0], q[1]), _mm256_add_epi32(q[2], q[3]));
  __m128i half = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
  half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
  half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0xb1));
  return _mm_cvtsi128_si32(half);
}

}  // namespace

float quantize_row(const float* x, int64_t k, bool per_token, int8_t* codes, int32_t* multipliers,
                   int32_t* sums) {
  const __m256 none = _mm256_setzero_ps();
  __m256 most = none;
  for (int64_t i = 0; i < k; i += kBlockCols) most = widen_max(load_block(x + i, k - i), most);
  float scale = largest(most) / 127;
  if (!per_token) scale *= 1.f / kTopMultiplier;
  if (scale == 0) scale = 1;
  float m = 1;
  for (int64_t i = 0; i < k; i += kBlockCols) {
    Block b = load_block(x + i, k - i);
    if (!per_token) {
      __m128 wanted = _mm_set_ss(largest(widen_max(b, none)) / (127 * scale));
      wanted = _mm_ceil_ss(wanted, wanted);
      wanted = _mm_max_ss(wanted, _mm_set_ss(1));
      m = _mm_cvtss_f32(_mm_min_ss(wanted, _mm_set_ss(kTopMultiplier)));
    }
    int64_t block = i / kBlockCols;
    multipliers[block] = static_cast<int32_t>(m);
    sums[block] = encode_block(b, scale * m, codes + i) * multipliers[block];
  }
  return scale;
}

}  // namespace nibble::avx2
