#include "quant/gptq_rounding.h"

namespace nibble {

extern const Method kMethod_gptq = {
    .name = "gptq",
    .summary = "GPTQ with activation-weighted scales and activation order; calibrated",
    .need = InputStatistics::Need::kHessian,
    .quantize = [](std::span<const FloatMatrix> matrices, const InputStatistics* statistics,
                   const MethodOptions& options) -> Result<MethodResult> {
      return round_by_gptq(matrices, *statistics, options);
    },
    .blocks = true,
    .memory = {12, 0}};

}  // namespace nibble
