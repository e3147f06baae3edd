// SparseGPT joint with quantization: GPTQ whose columns are also set to zero where that costs
// least, so that what pruning and rounding do wrong is absorbed together. Source: Frantar and
// Alistarh, arXiv 2301.00774; github.com/IST-DASLab/sparsegpt sparsegpt.py.
#include <algorithm>
#include <numeric>

#include "base/checked.h"
#include "base/threads.h"
#include "model/blas.h"
#include "quant/grid_search.h"
#include "quant/hessian.h"
#include "quant/methods/sparsity.h"

namespace nibble {
namespace {

constexpr int64_t kBlock = 128;    // columns whose mask is chosen together (the paper's B_s)
constexpr int64_t kRowChunk = 32;  // rows a thread takes at once

// One matrix on its way: columns in natural order, so that 2:4 means neighbours.
class Walk {
 public:
  Walk(const FloatMatrix& m, const float* U, const Sparsity& sparsity)
      : m_(m),
        U_(U),
        sparsity_(sparsity),
        W_(m.w),
        pruned_(static_cast<size_t>(m.n * kBlock)),
        codes_(m.w.size()) {}

  QuantizedMatrix run(std::span<const Grid> grids) {
    for (int64_t b = 0; b < m_.k; b += kBlock) {
      int64_t end = std::min(m_.k, b + kBlock);
      if (sparsity_.of == 0) choose_mask(b, end);
      parallel_for(ceil_div(m_.n, kRowChunk), [&](int64_t chunk) {
        int64_t r0 = chunk * kRowChunk, rows = std::min(kRowChunk, m_.n - r0);
        round_block(grids, r0, rows, b, end);
      });
    }
    QuantizedBuilder out(m_.scheme, m_.n, m_.k);
    for (int64_t r = 0; r < m_.n; ++r)
      out.set_row(r, codes_.data() + r * m_.k, row_grids(m_.scheme, grids, r, m_.k));
    return out.finish();
  }

 private:
  // w^2 / U_jj^2: what setting this weight to zero costs once the rest has absorbed it.
  float score(int64_t row, int64_t column) const {
    float e = W_[static_cast<size_t>(row * m_.k + column)] / U_[column * m_.k + column];
    return e * e;
  }

  // Unstructured: the least of all rows' columns [b, end).
  void choose_mask(int64_t b, int64_t end) {
    int64_t width = end - b;
    std::vector<float> scores(static_cast<size_t>(m_.n * width));
    for (int64_t r = 0; r < m_.n; ++r)
      for (int64_t j = b; j < end; ++j)
        scores[static_cast<size_t>(r * width + j - b)] = score(r, j);
    prune_smallest(scores, sparsity_.share, std::span(pruned_).first(scores.size()));
  }

  // n:m: the least of the row's columns [j, j + count), with what has reached them.
  void choose_few(int64_t row, int64_t j, int64_t count, uint8_t* pruned) const {
    float scores[kBlock];
    for (int64_t i = 0; i < count; ++i) scores[i] = score(row, j + i);
    auto n = static_cast<size_t>(count);
    prune_smallest(std::span<const float>(scores, n), sparsity_.share, std::span(pruned, n));
  }

  void round_block(std::span<const Grid> grids, int64_t r0, int64_t rows, int64_t b, int64_t end) {
    int64_t k = m_.k, width = end - b, group = m_.scheme.group_size(k);
    std::vector<float> E(static_cast<size_t>(rows * kBlock));
    for (int64_t r = 0; r < rows; ++r) {
      float* w = W_.data() + (r0 + r) * k;
      uint8_t* pruned = pruned_.data() + (r0 + r) * width;
      auto grid = row_grids(m_.scheme, grids, r0 + r, k);
      for (int64_t i = b; i < end; ++i) {
        if (sparsity_.of > 0 && (i - b) % sparsity_.of == 0)
          choose_few(r0 + r, i, std::min(sparsity_.of, end - i), pruned + i - b);
        const Grid& g = grid[static_cast<size_t>(i / group)];
        int q = pruned[i - b] ? g.zero : encode(w[i], g, m_.scheme);
        codes_[static_cast<size_t>((r0 + r) * k + i)] = static_cast<uint8_t>(q);
        const float* u = U_ + i * k;
        float e = (w[i] - decode(q, g)) / u[i];
        E[static_cast<size_t>(r * kBlock + i - b)] = e;
        for (int64_t c = i + 1; c < end; ++c) w[c] -= e * u[c];
      }
    }
    if (end < k)
      cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, static_cast<int>(rows),
                  static_cast<int>(k - end), static_cast<int>(width), -1, E.data(), kBlock,
                  U_ + b * k + end, static_cast<int>(k), 1, W_.data() + r0 * k + end,
                  static_cast<int>(k));
  }

  const FloatMatrix& m_;
  const float* U_;
  const Sparsity& sparsity_;
  std::vector<float> W_;
  std::vector<uint8_t> pruned_;  // (n, columns of the block)
  std::vector<uint8_t> codes_;
};

Result<MethodResult> quantize(std::span<const FloatMatrix> matrices, const InputStatistics* s,
                              const MethodOptions& options) {
  MethodResult result;
  std::vector<int64_t> natural(static_cast<size_t>(s->cols()));
  std::iota(natural.begin(), natural.end(), 0);
  InverseFactor factor = factor_inverse(*s, natural, options.damping);
  if (factor.U.empty()) {
    result = NB_TRY(NB_TRY(find_method("wanda"))->quantize(matrices, s, options));
    result.notes.push_back(matrices[0].name +
                           ": Hessian could not be factorised; by wanda instead");
    return result;
  }
  for (const std::string& note : factor.notes)
    result.notes.push_back(matrices[0].name + ": " + note);
  ErrorMeasure measure = activation_measure(*s);
  for (const FloatMatrix& m : matrices)
    result.matrices.push_back(
        Walk(m, factor.U.data(), options.sparsity).run(search_grids(m, measure)));
  return result;
}

}  // namespace

extern const Method kMethod_sparsegpt = {
    .name = "sparsegpt",
    .summary = "GPTQ that also sets --sparsity of the weights to zero; calibrated",
    .need = InputStatistics::Need::kHessian,
    .quantize = quantize,
    .sparse = true,
    .memory = {12, 6}};

}  // namespace nibble
