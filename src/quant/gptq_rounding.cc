#include "quant/gptq_rounding.h"

#include <algorithm>
#include <numeric>

#include "base/checked.h"
#include "base/threads.h"
#include "model/blas.h"
#include "quant/grid_search.h"
#include "quant/hessian.h"

namespace nibble {
namespace {

constexpr int64_t kBlock = 128;    // columns between lazy updates (the paper's B)
constexpr int64_t kRowChunk = 32;  // rows a thread takes at once

// Columns by falling diag(H); natural order between equals.
std::vector<int64_t> activation_order(const InputStatistics& s) {
  std::vector<int64_t> order(static_cast<size_t>(s.cols()));
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    double da = s.diagonal(a), db = s.diagonal(b);
    return da != db ? da > db : a < b;
  });
  return order;
}

// Sorts inside each group, then whole groups by their largest diag(H).
std::vector<int64_t> gar_order(const InputStatistics& s, int64_t group) {
  std::vector<int64_t> by_activation = activation_order(s), first_seen, order;
  for (int64_t j : by_activation)
    if (std::find(first_seen.begin(), first_seen.end(), j / group) == first_seen.end())
      first_seen.push_back(j / group);
  for (int64_t g : first_seen)
    for (int64_t j : by_activation)
      if (j / group == g) order.push_back(j);
  return order;
}

std::vector<int64_t> column_order(const InputStatistics& s, const Scheme& scheme,
                                  ColumnOrder order) {
  if (order == ColumnOrder::kActivation) return activation_order(s);
  if (order == ColumnOrder::kGar) return gar_order(s, scheme.group_size(s.cols()));
  std::vector<int64_t> natural(static_cast<size_t>(s.cols()));
  std::iota(natural.begin(), natural.end(), 0);
  return natural;
}

// Rounds rows [r0, r1) of m. U: (k, k) upper factor of the inverse Hessian in `order`.
void round_rows(const FloatMatrix& m, std::span<const Grid> grids, std::span<const int64_t> order,
                const float* U, int64_t r0, int64_t r1, QuantizedBuilder& out) {
  int64_t k = m.k, rows = r1 - r0, group = m.scheme.group_size(k);
  std::vector<float> W(static_cast<size_t>(rows * k)), E(static_cast<size_t>(rows * kBlock));
  std::vector<uint8_t> codes(static_cast<size_t>(rows * k));
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t i = 0; i < k; ++i)
      W[static_cast<size_t>(r * k + i)] =
          m.w[static_cast<size_t>((r0 + r) * k + order[static_cast<size_t>(i)])];
  for (int64_t b = 0; b < k; b += kBlock) {
    int64_t end = std::min(k, b + kBlock);
    for (int64_t r = 0; r < rows; ++r) {
      float* w = W.data() + r * k;
      auto grid = row_grids(m.scheme, grids, r0 + r, k);
      for (int64_t i = b; i < end; ++i) {
        int64_t j = order[static_cast<size_t>(i)];
        const Grid& g = grid[static_cast<size_t>(j / group)];
        int q = encode(w[i], g, m.scheme);
        codes[static_cast<size_t>(r * k + j)] = static_cast<uint8_t>(q);
        const float* u = U + i * k;
        float e = (w[i] - decode(q, g)) / u[i];
        E[static_cast<size_t>(r * kBlock + i - b)] = e;
        for (int64_t c = i + 1; c < end; ++c) w[c] -= e * u[c];
      }
    }
    if (end < k)
      cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, static_cast<int>(rows),
                  static_cast<int>(k - end), static_cast<int>(end - b), -1, E.data(), kBlock,
                  U + b * k + end, static_cast<int>(k), 1, W.data() + end, static_cast<int>(k));
  }
  for (int64_t r = 0; r < rows; ++r)
    out.set_row(r0 + r, codes.data() + r * k, row_grids(m.scheme, grids, r0 + r, k));
}

}  // namespace

MethodResult round_by_gptq(std::span<const FloatMatrix> matrices, const InputStatistics& s,
                           const MethodOptions& options) {
  MethodResult result;
  ErrorMeasure measure = activation_measure(s);
  std::vector<int64_t> order;
  InverseFactor factor;
  for (const FloatMatrix& m : matrices) {
    // Matrices that share an input share the factor as long as their order is the same.
    auto wanted = column_order(s, m.scheme, options.order);
    if (wanted != order) {
      order = std::move(wanted);
      factor = factor_inverse(s, order, options.damping);
      for (const std::string& note : factor.notes) result.notes.push_back(m.name + ": " + note);
    }
    std::vector<Grid> grids = search_grids(m, measure);
    if (factor.U.empty()) {
      result.matrices.push_back(round_to_nearest(m, grids));
      continue;
    }
    QuantizedBuilder out(m.scheme, m.n, m.k);
    parallel_for(ceil_div(m.n, kRowChunk), [&](int64_t chunk) {
      round_rows(m, grids, order, factor.U.data(), chunk * kRowChunk,
                 std::min(m.n, (chunk + 1) * kRowChunk), out);
    });
    result.matrices.push_back(out.finish());
  }
  return result;
}

}  // namespace nibble
