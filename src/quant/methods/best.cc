// Everything we know that helped: polished codes, from which all codes, scales and norms together
// learn the float model's distributions, on the calibration text and on text that the model writes.
// A step of learning block by block between the two took a third of the time and was worth 1 %.
#include "quant/methods/method.h"

namespace nibble {

extern const Method kMethod_balanced;

extern const Method kMethod_best = {
    .name = "best",
    .summary = "balanced, then all blocks learn together, end to end; calibrated, minutes",
    .need = InputStatistics::Need::kHessian,
    .quantize =
        [](std::span<const FloatMatrix> matrices, const InputStatistics* statistics,
           const MethodOptions& options) {
          return kMethod_balanced.quantize(matrices, statistics, options);
        },
    .takes_drift = true,
    .distillation = {DistillationPlan::What::kCodes},
    .blocks = true,
    .memory = {12, 4}};

}  // namespace nibble
