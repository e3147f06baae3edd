#include "kernels/x86/gemm.h"

#include "kernels/avx2/avx2.h"

namespace nibble::avx2 {
namespace {

// Keeps a running sum in its register: left alone, clang turns eight chained additions into a tree
// whose many live halves spill (measured: a third of the speed).
NIBBLE_INLINE void pin(Vector& v) { __asm__("" : "+x"(v)); }

// A byte as 16 high + low: two products of nibbles with 16-bit sums cost what two of widened 16-bit
// numbers do, but need half the broadcasts.
struct Dot {
  static constexpr bool kSplitBytes = true;

  // d: products of one block, [half][W] of 8 rows; bytes: [W].
  template <bool kBytes, int W>
  static NIBBLE_METHOD void multiply_block(const uint8_t* w, const int8_t* a, const uint32_t* pairs,
                                           __m256i* d) {
    __m256i sum0[W], sum1[W];
    NIBBLE_UNROLL
    for (int g = 0; g < 8; ++g) {
      __m256i w0 = load(w + 64 * g), w1 = load(w + 64 * g + 32);
      NIBBLE_UNROLL
      for (int c = 0; c < W; ++c) {
        __m256i b = broadcast4(a + 4 * (g * W + c));
        __m256i x0 = _mm256_maddubs_epi16(w0, b), x1 = _mm256_maddubs_epi16(w1, b);
        sum0[c] = g ? _mm256_add_epi16(sum0[c], x0) : x0;
        sum1[c] = g ? _mm256_add_epi16(sum1[c], x1) : x1;
        pin(sum0[c]);
        pin(sum1[c]);
      }
    }
    NIBBLE_UNROLL
    for (int c = 0; c < W; ++c) {
      __m256i m = broadcast_pair(pairs + c);
      __m256i d0 = _mm256_madd_epi16(sum0[c], m), d1 = _mm256_madd_epi16(sum1[c], m);
      if constexpr (kBytes) {
        d[c] = _mm256_add_epi32(d0, _mm256_slli_epi32(d1, 4));
      } else {
        d[c] = d0;
        d[W + c] = d1;
      }
    }
  }
};

}  // namespace

int64_t gemm_scratch(const Product& p) { return gemm_scratch_for(p); }

void gemm(const Product& p, int64_t first, int64_t last, uint8_t* scratch) {
  gemm_with<Dot>(p, first, last, scratch);
}

}  // namespace nibble::avx2
