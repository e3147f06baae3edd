#include <immintrin.h>

namespace nibble {
namespace {

// The VEX encoding: Alder Lake, Zen 5 and later.
inline __attribute__((always_inline)) __m256i dpbusd(__m256i sum, __m256i u, __m256i s) {
  return _mm256_dpbusd_avx_epi32(sum, u, s);
}

struct ByteMultiply {
  using Vector = __m256i;
  static inline __attribute__((always_inline)) Vector add(Vector sum, Vector u, Vector s) {
    return dpbusd(sum, u, s);
  }
};

}  // namespace
}  // namespace nibble

#include "kernels/avx2/avx2.h"
#include "kernels/x86/registers.h"
#include "kernels/x86/vnni.h"

namespace nibble {

extern const KernelTable kernels_avxvnni;
const KernelTable kernels_avxvnni = {
    .name = "avxvnni",
    .needs = "AVX2, FMA, F16C, AVX-VNNI",
    .supported = [](const CpuFeatures& cpu) { return cpu.avxvnni; },
    .panel_rows = 8,
    .quantize_row = avx2::quantize_row,
    .gemv = gemv_with<VnniDot>,
    .gemm = gemm_with<VnniDot>,
    .gemm_scratch = gemm_scratch_for,
    .gemm_panels = 2,
    .gemm_from = 16,
    .multiply_registers = multiply_registers_with<ByteMultiply>,
    .floats = &avx2::float_ops,
};

}  // namespace nibble
