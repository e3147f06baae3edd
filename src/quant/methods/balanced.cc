// GPTQ, then coordinate descent on codes, scales and zero points: the best that one pass over the
// blocks gives without a backward pass.
#include "quant/gptq_rounding.h"
#include "quant/polish.h"

namespace nibble {

extern const Method kMethod_balanced = {
    "balanced", "gptq, then codes and scales descend together; calibrated",
    InputStatistics::Need::kHessian,
    [](std::span<const FloatMatrix> matrices, const InputStatistics* statistics,
       const MethodOptions& options) -> Result<MethodResult> {
      MethodResult result = round_by_gptq(matrices, *statistics, options);
      std::vector<float> H = damped_hessian(*statistics, options.damping);
      for (size_t i = 0; i < matrices.size(); ++i)
        result.matrices[i] = polish(matrices[i], result.matrices[i], H);
      return result;
    }};

}  // namespace nibble
