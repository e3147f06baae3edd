#include "kernels/avx2/avx2.h"

namespace nibble {

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
    .multiply_registers = nullptr,
};

}  // namespace nibble
