// Round to nearest on the clipped grid that minimises sum |q - w|^2.4 (the exponent of GPTQ's code,
// github.com/IST-DASLab/gptq quant.py).
#include "quant/grid_search.h"

namespace nibble {

extern const Method kMethod_rtn_mse = {
    .name = "rtn-mse",
    .summary = "round to nearest, scales searched for the least weight error; no calibration",
    .need = InputStatistics::Need::kNothing,
    .quantize = [](std::span<const FloatMatrix> matrices, const InputStatistics*,
                   const MethodOptions&) -> Result<MethodResult> {
      MethodResult out;
      for (const FloatMatrix& m : matrices)
        out.matrices.push_back(round_to_nearest(m, search_grids(m, {2.4f, {}, {}})));
      return out;
    }};

}  // namespace nibble
