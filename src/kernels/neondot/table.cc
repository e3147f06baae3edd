// ARMv8.2 with dot products: Cortex-A55, A76, A78 and later.
#include "kernels/arm/registers.h"
#include "kernels/arm/sdot.h"
#include "kernels/neon/neon.h"

namespace nibble {
namespace {

struct ByteMultiply {
  using Sum = int32x4_t;
  static constexpr int64_t kMacs = 16;
  static NIBBLE_METHOD Sum add(Sum sum, int8x16_t u, int8x16_t s) {
    return vdotq_laneq_s32(sum, u, s, 0);
  }
};

}  // namespace

extern const KernelTable kernels_neondot;
const KernelTable kernels_neondot = {
    .name = "neondot",
    .needs = "ARMv8.2 dotprod",
    .supported = [](const CpuFeatures& cpu) { return cpu.dotprod; },
    .panel_rows = kRows,
    .activation_run = kRun,
    .quantize_row = neon::quantize_row,
    .gemv = gemv_with<SdotDot>,
    .gemm = gemm_with<SdotDot>,
    .gemm_scratch = gemm_scratch_for,
    .gemm_panels = 1,
    .gemm_from = 12,  // by the counts of bench/arm_instructions
    .multiply_registers = multiply_registers_with<ByteMultiply>,
    .floats = &float_ops_reference,
};

}  // namespace nibble
