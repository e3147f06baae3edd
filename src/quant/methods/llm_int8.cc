// LLM.int8(): round to nearest at 8 bits, for a runtime that multiplies large input columns as
// floats (model/outlier_linear.h); calibration finds those that nearly always are, whose weights
// are kept as floats (outlier_columns.h). Source: Dettmers et al., arXiv 2208.07339.
#include "quant/grid_search.h"

namespace nibble {

extern const Method kMethod_llm_int8 = {
    .name = "llm-int8",
    .summary = "LLM.int8(): w8, input columns that reach 6.0 are multiplied as floats; calibrated",
    .need = InputStatistics::Need::kDiagonal,
    .quantize = [](std::span<const FloatMatrix> matrices, const InputStatistics*,
                   const MethodOptions&) -> Result<MethodResult> {
      MethodResult out;
      for (const FloatMatrix& m : matrices)
        out.matrices.push_back(round_to_nearest(m, minmax_grids(m)));
      return out;
    },
    .int8_threshold = 6,
    .memory = {0, 4}};

}  // namespace nibble
