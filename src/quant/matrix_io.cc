#include <algorithm>
#include <cmath>

#include "base/checked.h"
#include "base/threads.h"
#include "model/blas.h"
#include "quant/block_pass.h"

namespace nibble {

Status check_values(const FloatMatrix& m, const std::string& folder) {
  float lo = 0, hi = 0;
  for (size_t i = 0; i < m.w.size(); ++i) {
    if (!std::isfinite(m.w[i]))
      return fail("{}: {}.weight holds {} at row {}, column {}; it cannot be quantized", folder,
                  m.name, m.w[i], i / static_cast<size_t>(m.k), i % static_cast<size_t>(m.k));
    lo = std::min(lo, m.w[i]);
    hi = std::max(hi, m.w[i]);
  }
  constexpr float kLargestHalf = 65504;
  if (m.scheme.blocks && std::max(-lo, hi) > kLargestHalf)
    return fail("{}: {}.weight reaches {:g}; the float16 numbers of {} end at {:g}", folder, m.name,
                std::max(-lo, hi), m.scheme.name(), kLargestHalf);
  if (Grid g = grid_from_range(lo, hi, m.scheme); !std::isfinite(g.scale))
    return fail("{}: {}.weight reaches {:g}; its scale does not fit {}, use --scale-type f32",
                folder, m.name, std::max(-lo, hi), dtype_name(m.scheme.scale_type));
  return {};
}

Result<FloatMatrix> load_matrix(const Weights& weights, const std::string& module, int64_t n,
                                int64_t k, const Scheme& scheme) {
  FloatMatrix m{module, n, k, NB_TRY(weights.floats(module + ".weight", n, k)), scheme};
  NB_OK(check_values(m, weights.checkpoint().folder()));
  return m;
}

double relative_error(const FloatMatrix& m, const QuantizedMatrix& q,
                      const InputStatistics* statistics) {
  constexpr int64_t kRows = 64;
  int64_t k = m.k, chunks = ceil_div(m.n, kRows);
  bool weighted = statistics && statistics->has_hessian();
  std::vector<float> H;
  if (weighted) H.assign(statistics->hessian().begin(), statistics->hessian().end());
  std::vector<double> errors(static_cast<size_t>(chunks)), totals(errors);
  // sum over rows of d H d'
  auto quadratic = [&](const std::vector<float>& d, int64_t rows) {
    std::vector<float> product(weighted ? d.size() : 0);
    if (weighted)
      cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, static_cast<int>(rows),
                  static_cast<int>(k), static_cast<int>(k), 1, d.data(), static_cast<int>(k),
                  H.data(), static_cast<int>(k), 0, product.data(), static_cast<int>(k));
    const std::vector<float>& other = weighted ? product : d;
    double total = 0;
    for (size_t i = 0; i < d.size(); ++i) total += static_cast<double>(d[i]) * other[i];
    return total;
  };
  parallel_for(chunks, [&](int64_t c) {
    int64_t r0 = c * kRows, rows = std::min(kRows, m.n - r0);
    std::vector<float> w(m.w.begin() + r0 * k, m.w.begin() + (r0 + rows) * k), d(w.size());
    for (int64_t r = 0; r < rows; ++r) q.dequantize(r0 + r, d.data() + r * k);
    for (size_t i = 0; i < d.size(); ++i) d[i] -= w[i];
    errors[static_cast<size_t>(c)] = quadratic(d, rows);
    totals[static_cast<size_t>(c)] = quadratic(w, rows);
  });
  double error = 0, total = 0;
  for (size_t c = 0; c < errors.size(); ++c) {
    error += errors[c];
    total += totals[c];
  }
  return total > 0 ? error / total : 0;
}

}  // namespace nibble
