// Choosing each group's scale and zero point, and rounding to them.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "quant/methods/method.h"

namespace nibble {

// How a candidate grid's rounding errors are weighed: sum_j weight_j |q_j - w_j|^power.
struct ErrorMeasure {
  float power = 2;
  std::vector<float> weights;  // (k), or empty for all ones
  // (k, k), or empty: decides among the best of each group by e' H e within the group, which sees
  // errors that cancel.
  std::vector<float> hessian;
};

// Squared error weighed by E[x_j^2], the mean square of what each column multiplies.
ErrorMeasure activation_measure(const InputStatistics& statistics);

// Grids of every row: (n, groups) row by row; per tensor: one. `fit` sees a group's weights.
// Parallel over rows.
std::vector<Grid> fit_grids(const FloatMatrix& m,
                            const std::function<Grid(std::span<const float>)>& fit);
// Without a measure: min-max; for ggml's blocks those of the least squared error.
std::vector<Grid> minmax_grids(const FloatMatrix& m);
// The grid in each group that minimises the measure over clipped ranges: the range's two ends
// shrink independently for asymmetric schemes, together for symmetric ones. ggml's blocks: of least
// squared error under the measure's weights. Parallel over rows.
std::vector<Grid> search_grids(const FloatMatrix& m, const ErrorMeasure& measure);

// Rounds every weight to the nearest code.
QuantizedMatrix round_to_nearest(const FloatMatrix& m, std::span<const Grid> grids);

// The grids of one row, from either form of the list.
std::span<const Grid> row_grids(const Scheme& scheme, std::span<const Grid> grids, int64_t row,
                                int64_t k);

}  // namespace nibble
