// The cheapest method that is good at four bits: GPTQ alone. Nearly all of its time is the windows'
// way through the model, which cheaper rounding would need just as well.
#include "quant/gptq_rounding.h"

namespace nibble {

extern const Method kMethod_fast = {
    .name = "fast",
    .summary = "the least time for good four bits: gptq alone; calibrated",
    .need = InputStatistics::Need::kHessian,
    .quantize = [](std::span<const FloatMatrix> matrices, const InputStatistics* statistics,
                   const MethodOptions& options) -> Result<MethodResult> {
      return round_by_gptq(matrices, *statistics, options);
    },
    .blocks = true,
    .memory = {12, 0}};

}  // namespace nibble
