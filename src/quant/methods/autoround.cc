// Learned rounding block by block (block_tuning.h), from codes rounded to nearest on searched
// grids.
#include "quant/methods/method.h"

namespace nibble {

extern const Method kMethod_rtn_imatrix;

extern const Method kMethod_autoround = {
    .name = "autoround",
    .summary = "codes and scales learn block by block from the float block's output; calibrated",
    .need = InputStatistics::Need::kHessian,
    .quantize =
        [](std::span<const FloatMatrix> matrices, const InputStatistics* statistics,
           const MethodOptions& options) {
          return kMethod_rtn_imatrix.quantize(matrices, statistics, options);
        },
    .tunes_block = true,
    .blocks = true,
    .memory = {4, 0}};

}  // namespace nibble
