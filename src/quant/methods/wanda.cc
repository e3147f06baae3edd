// Wanda: takes away the smallest |w| sqrt(E x^2) of each output row, rounds the rest to nearest.
// Source: Sun et al., arXiv 2306.11695.
#include <cmath>

#include "base/threads.h"
#include "quant/grid_search.h"
#include "quant/methods/sparsity.h"

namespace nibble {
namespace {

void round_row(const FloatMatrix& m, const InputStatistics& s, const Sparsity& sparsity,
               std::span<const Grid> grids, int64_t row, QuantizedBuilder& out) {
  auto k = static_cast<size_t>(m.k);
  const float* w = m.w.data() + row * m.k;
  std::vector<float> scores(k);
  std::vector<uint8_t> pruned(k), codes(k);
  for (size_t j = 0; j < k; ++j)
    scores[j] =
        std::fabs(w[j]) * std::sqrt(static_cast<float>(s.diagonal(static_cast<int64_t>(j))));
  auto step = sparsity.of > 0 ? static_cast<size_t>(sparsity.of) : k;
  for (size_t j = 0; j < k; j += step) {
    size_t count = std::min(step, k - j);
    prune_smallest(std::span(scores).subspan(j, count), sparsity.share,
                   std::span(pruned).subspan(j, count));
  }
  auto grid = row_grids(m.scheme, grids, row, m.k);
  auto group = static_cast<size_t>(m.scheme.group_size(m.k));
  for (size_t j = 0; j < k; ++j) {
    const Grid& g = grid[j / group];
    codes[j] = static_cast<uint8_t>(pruned[j] ? g.zero : encode(w[j], g, m.scheme));
  }
  out.set_row(row, codes.data(), grid);
}

Result<MethodResult> quantize(std::span<const FloatMatrix> matrices, const InputStatistics* s,
                              const MethodOptions& options) {
  MethodResult result;
  ErrorMeasure measure = activation_measure(*s);
  for (const FloatMatrix& m : matrices) {
    std::vector<Grid> grids = search_grids(m, measure);
    QuantizedBuilder out(m.scheme, m.n, m.k);
    parallel_for(m.n, [&](int64_t r) { round_row(m, *s, options.sparsity, grids, r, out); });
    result.matrices.push_back(out.finish());
  }
  return result;
}

}  // namespace

extern const Method kMethod_wanda = {
    .name = "wanda",
    .summary = "--sparsity by weight times activation, the rest rounded; calibrated",
    .need = InputStatistics::Need::kHessian,
    .quantize = quantize,
    .sparse = true};

}  // namespace nibble
