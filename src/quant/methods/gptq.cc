#include "quant/gptq_rounding.h"

namespace nibble {

extern const Method kMethod_gptq = {
    "gptq", "GPTQ with activation-weighted scales and activation order; calibrated",
    InputStatistics::Need::kHessian,
    [](std::span<const FloatMatrix> matrices, const InputStatistics* statistics,
       const MethodOptions& options) -> Result<MethodResult> {
      return round_by_gptq(matrices, *statistics, options);
    }};

}  // namespace nibble
