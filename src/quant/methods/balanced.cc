// GPTQ towards weights that answer the drift of their inputs, then coordinate descent on codes,
// scales and zero points: the best that one pass over the blocks gives without a backward pass.
#include "quant/drift.h"
#include "quant/gptq_rounding.h"
#include "quant/polish.h"

namespace nibble {

extern const Method kMethod_balanced = {
    .name = "balanced",
    .summary = "gptaq, then codes and scales descend together; calibrated",
    .need = InputStatistics::Need::kHessian,
    .quantize = [](std::span<const FloatMatrix> matrices, const InputStatistics* statistics,
                   const MethodOptions& options) -> Result<MethodResult> {
      auto shifted = shift_for_drift(matrices, *statistics, options.damping);
      MethodResult result = round_by_gptq(shifted, *statistics, options);
      std::vector<float> H = damped_hessian(*statistics, options.damping);
      for (size_t i = 0; i < matrices.size(); ++i)
        result.matrices[i] = polish(shifted[i], result.matrices[i], H);
      return result;
    },
    .takes_drift = true,
    .blocks = true,
    .memory = {12, 4}};

}  // namespace nibble
