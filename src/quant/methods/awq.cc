// AWQ: its scale search is the transform of that name, which the job puts before this; here, its
// clipping search and rounding to nearest. Source: Lin et al., arXiv 2306.00978 (auto_clip.py):
// each group's range is the one whose part of the output errs least, from statistics instead of
// sampled tokens; queries and keys are never clipped.
#include "quant/grid_search.h"

namespace nibble {
namespace {

bool makes_queries_or_keys(const std::string& module) {
  return module.ends_with(".q_proj") || module.ends_with(".k_proj");
}

Result<MethodResult> quantize(std::span<const FloatMatrix> matrices,
                              const InputStatistics* statistics, const MethodOptions&) {
  MethodResult out;
  ErrorMeasure measure = activation_measure(*statistics);
  measure.hessian.assign(statistics->hessian().begin(), statistics->hessian().end());
  for (const FloatMatrix& m : matrices)
    out.matrices.push_back(round_to_nearest(
        m, makes_queries_or_keys(m.name) ? minmax_grids(m) : search_grids(m, measure)));
  return out;
}

}  // namespace

extern const Method kMethod_awq = {
    .name = "awq",
    .summary = "AWQ: scales folded into neighbours, clipped ranges, rounding; calibrated",
    .need = InputStatistics::Need::kHessian,
    .quantize = quantize,
    .transform = "awq",
    .memory = {4, 0}};

}  // namespace nibble
