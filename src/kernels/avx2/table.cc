#include <immintrin.h>

#include "kernels/avx2/avx2.h"
#include "kernels/x86/registers.h"

namespace nibble {
namespace {

// What int4 products do: bytes multiplied, neighbours added, summed in 16 bits.
struct ByteMultiply {
  using Vector = __m256i;
  static inline __attribute__((always_inline)) Vector add(Vector sum, Vector u, Vector s) {
    return _mm256_add_epi16(sum, _mm256_maddubs_epi16(u, s));
  }
};

}  // namespace

extern const KernelTable kernels_avx2;
const KernelTable kernels_avx2 = {
    .name = "avx2",
    .needs = "AVX2, FMA, F16C",
    .supported = [](const CpuFeatures& cpu) { return cpu.avx2; },
    .panel_rows = 8,
    .quantize_row = avx2::quantize_row,
    .gemv = avx2::gemv,
    .gemm = avx2::gemm,
    .gemm_scratch = avx2::gemm_scratch,
    .gemm_panels = 2,
    .gemm_from = 16,
    .multiply_registers = multiply_registers_with<ByteMultiply>,
    .floats = &avx2::float_ops,
};

}  // namespace nibble
