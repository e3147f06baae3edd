// Round to nearest on the clipped grid that minimises sum E[x_j^2] (q - w)^2: the importance matrix
// of llama.cpp's quantizers (pull request 4861) on plain grids.
#include "quant/grid_search.h"

namespace nibble {

extern const Method kMethod_rtn_imatrix = {
    .name = "rtn-imatrix",
    .summary = "round to nearest, scales searched under activation weights; calibrated",
    .need = InputStatistics::Need::kHessian,
    .quantize = [](std::span<const FloatMatrix> matrices, const InputStatistics* statistics,
                   const MethodOptions&) -> Result<MethodResult> {
      MethodResult out;
      ErrorMeasure measure = activation_measure(*statistics);
      if (statistics->has_hessian())
        measure.hessian.assign(statistics->hessian().begin(), statistics->hessian().end());
      for (const FloatMatrix& m : matrices)
        out.matrices.push_back(round_to_nearest(m, search_grids(m, measure)));
      return out;
    },
    .diagonal = true,
    .blocks = true,
    .memory = {4, 0}};

}  // namespace nibble
