// GPTAQ: GPTQ towards weights that answer the drift of their inputs (drift.h).
#include "quant/drift.h"
#include "quant/gptq_rounding.h"

namespace nibble {

extern const Method kMethod_gptaq = {
    .name = "gptaq",
    .summary = "gptq towards the float model's own outputs, not only its weights; calibrated",
    .need = InputStatistics::Need::kDrift,
    .quantize = [](std::span<const FloatMatrix> matrices, const InputStatistics* statistics,
                   const MethodOptions& options) -> Result<MethodResult> {
      return round_by_gptq(shift_for_drift(matrices, *statistics, options.damping), *statistics,
                           options);
    },
    .blocks = true,
    .memory = {12, 4}};

}  // namespace nibble
