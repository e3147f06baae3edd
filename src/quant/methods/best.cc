// Everything we know: the polished codes as a start, then all codes, scales and norms learn
// together from the float model's distributions, on the calibration text and on text that the model
// writes.
#include "quant/methods/method.h"

namespace nibble {

extern const Method kMethod_balanced;

extern const Method kMethod_best = {
    "best",
    "balanced, then codes, scales and norms learn end to end; calibrated, minutes",
    InputStatistics::Need::kHessian,
    [](std::span<const FloatMatrix> matrices, const InputStatistics* statistics,
       const MethodOptions& options) {
      return kMethod_balanced.quantize(matrices, statistics, options);
    },
    {DistillationPlan::What::kCodes}};

}  // namespace nibble
