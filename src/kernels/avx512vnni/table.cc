#include <immintrin.h>

namespace nibble {
namespace {

// The EVEX encoding on 256-bit vectors: full rate where 512 bits are two passes (Zen 4), and 32
// registers, without the clock that some CPUs give up for 512-bit vectors.
inline __attribute__((always_inline)) __m256i dpbusd(__m256i sum, __m256i u, __m256i s) {
  return _mm256_dpbusd_epi32(sum, u, s);
}

// On 512 bits: the CPU's limit, whatever width the products take.
struct ByteMultiply {
  using Vector = __m512i;
  static inline __attribute__((always_inline)) Vector add(Vector sum, Vector u, Vector s) {
    return _mm512_dpbusd_epi32(sum, u, s);
  }
};

}  // namespace
}  // namespace nibble

#include "kernels/avx2/avx2.h"
#include "kernels/x86/registers.h"
#include "kernels/x86/vnni.h"

namespace nibble {

extern const KernelTable kernels_avx512vnni;
const KernelTable kernels_avx512vnni = {
    .name = "avx512vnni",
    .needs = "AVX2, FMA, F16C, AVX-512 F, BW, DQ, VL, VNNI",
    .supported = [](const CpuFeatures& cpu) { return cpu.avx512vnni; },
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
