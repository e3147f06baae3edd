#include <immintrin.h>

namespace nibble {
namespace {

inline __attribute__((always_inline)) __m512i dpbusd(__m512i sum, __m512i u, __m512i s) {
  return _mm512_dpbusd_epi32(sum, u, s);
}

struct ByteMultiply {
  using Vector = __m512i;
  static inline __attribute__((always_inline)) Vector add(Vector sum, Vector u, Vector s) {
    return dpbusd(sum, u, s);
  }
};

}  // namespace
}  // namespace nibble

#include "kernels/avx2/avx2.h"
#include "kernels/avx512vnni/avx512vnni.h"
#include "kernels/x86/registers.h"
#include "kernels/x86/vnni.h"

namespace nibble {

void avx512vnni::gemv(const Product& p, int64_t first, int64_t last) {
  gemv_with<VnniDot>(p, first, last);
}

extern const KernelTable kernels_avx512vnni;
const KernelTable kernels_avx512vnni = {
    .name = "avx512vnni",
    .needs = "AVX2, FMA, F16C, AVX-512 F, BW, DQ, VL, VNNI",
    .supported = [](const CpuFeatures& cpu) { return cpu.avx512vnni; },
    .panel_rows = 16,
    .quantize_row = avx2::quantize_row,
    .gemv = avx512vnni::gemv,
    .gemm = gemm_with<VnniDot>,
    .gemm_scratch = gemm_scratch_for,
    .gemm_panels = 2,
    .gemm_from = 16,
    .multiply_registers = multiply_registers_with<ByteMultiply>,
    .floats = &avx512vnni::float_ops,
};

}  // namespace nibble
