#include "kernels/x86/gemv.h"

#include "kernels/avx2/avx2.h"

namespace nibble::avx2 {
namespace {

// Adds a block's products to d, 8 rows x W. Codes of at most 4 bits: a pair of products is at most
// 2 * 15 * 127, so exactly the 8 of a block fit 16 bits (performance.md 2.2).
template <CodeLayout L, int W>
NIBBLE_INLINE void add_codes(const uint8_t* codes, const int8_t* a, const uint32_t* pairs,
                             __m256i* d) {
  __m256i w[8], sum[W];
  unpack<L>(codes, w);
  NIBBLE_UNROLL
  for (int c = 0; c < W; ++c) sum[c] = _mm256_maddubs_epi16(w[0], broadcast4(a + 4 * c));
  NIBBLE_UNROLL
  for (int g = 1; g < 8; ++g) {
    NIBBLE_UNROLL
    for (int c = 0; c < W; ++c)
      sum[c] =
          _mm256_add_epi16(sum[c], _mm256_maddubs_epi16(w[g], broadcast4(a + 4 * (g * W + c))));
  }
  NIBBLE_UNROLL
  for (int c = 0; c < W; ++c)
    d[c] = _mm256_add_epi32(d[c], _mm256_madd_epi16(sum[c], broadcast_pair(pairs + c)));
}

// Signed bytes: |w| as the unsigned factor and a with w's sign. A pair is at most 2 * 128 * 127,
// which fits; nothing may be added to it in 16 bits.
template <int W>
NIBBLE_INLINE void add_bytes(const uint8_t* codes, const int8_t* a, const uint32_t* pairs,
                             __m256i* d) {
  __m256i m[W];
  NIBBLE_UNROLL
  for (int c = 0; c < W; ++c) m[c] = broadcast_pair(pairs + c);
  NIBBLE_UNROLL
  for (int g = 0; g < 8; ++g) {
    __m256i w = load(codes + 32 * g);
    __m256i size = _mm256_abs_epi8(w);
    NIBBLE_UNROLL
    for (int c = 0; c < W; ++c) {
      __m256i products =
          _mm256_maddubs_epi16(size, _mm256_sign_epi8(broadcast4(a + 4 * (g * W + c)), w));
      d[c] = _mm256_add_epi32(d[c], _mm256_madd_epi16(products, m[c]));
    }
  }
}

struct Dot {
  static constexpr bool kSignedBytes = true;
  template <CodeLayout L, int W>
  static NIBBLE_METHOD void add_block(const uint8_t* codes, const int8_t* a, const uint32_t* pairs,
                                      __m256i* d) {
    if constexpr (L == CodeLayout::kByte)
      add_bytes<W>(codes, a, pairs, d);
    else
      add_codes<L, W>(codes, a, pairs, d);
  }
};

}  // namespace

void gemv(const Product& p, int64_t first, int64_t last) { gemv_with<Dot>(p, first, last); }

}  // namespace nibble::avx2
