// Round to nearest on the min-max grid.
#include "quant/grid_search.h"

namespace nibble {

extern const Method kMethod_rtn = {
    .name = "rtn",
    .summary = "round to nearest, min-max scales; no calibration",
    .need = InputStatistics::Need::kNothing,
    .quantize = [](std::span<const FloatMatrix> matrices, const InputStatistics*,
                   const MethodOptions&) -> Result<MethodResult> {
      MethodResult out;
      for (const FloatMatrix& m : matrices)
        out.matrices.push_back(round_to_nearest(m, minmax_grids(m)));
      return out;
    },
    .blocks = true};

}  // namespace nibble
