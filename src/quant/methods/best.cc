// Everything we know: polished codes, from which each block learns its float block's output, and
// then all codes, scales and norms together the float model's distributions, on the calibration
// text and on text that the model writes.
#include "quant/methods/method.h"

namespace nibble {

extern const Method kMethod_balanced;

extern const Method kMethod_best = {
    .name = "best",
    .summary = "balanced, then blocks learn one by one, then all end to end; calibrated, minutes",
    .need = InputStatistics::Need::kHessian,
    .quantize =
        [](std::span<const FloatMatrix> matrices, const InputStatistics* statistics,
           const MethodOptions& options) {
          return kMethod_balanced.quantize(matrices, statistics, options);
        },
    .takes_drift = true,
    .tunes_block = true,
    .distillation = {DistillationPlan::What::kCodes}};

}  // namespace nibble
