// Sapphire Rapids and later: products of many rows by TDPBSSD, a block of 16 activation rows x 16
// weight rows x 32 columns an instruction, those with bfloat16 weights by TDPBF16PS; few rows as
// avx512vnni has them. Source: Intel, Architecture Instruction Set Extensions Programming
// Reference, chapter 3 (AMX).
#include "kernels/amx/bfloat16.h"
#include "kernels/amx/tiles.h"
#include "kernels/avx2/avx2.h"
#include "kernels/avx512vnni/avx512vnni.h"

namespace nibble {

extern const KernelTable kernels_amx;
const KernelTable kernels_amx = {
    .name = "amx",
    .needs = "AMX-TILE, AMX-INT8, AMX-BF16, AVX-512 F, BW, DQ, VL, VNNI",
    .supported = [](const CpuFeatures& cpu) { return cpu.amx; },
    .panel_rows = 16,
    .tile_rows = kTileRows,
    .quantize_row = avx2::quantize_row,
    .gemv = avx512vnni::gemv,
    .gemm = tile_gemm,
    .gemm_scratch = tile_gemm_scratch,
    .gemm_panels = 8,
    .gemm_from = 16,
    .multiply_registers = multiply_registers_as_tiles,
    .floats = &avx512vnni::float_ops,
    .bf16 = &kBf16Products,
};

}  // namespace nibble
