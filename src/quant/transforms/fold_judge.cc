#include "quant/transforms/fold_judge.h"

#include <algorithm>

#include "base/checked.h"
#include "base/threads.h"
#include "model/blas.h"
#include "quant/grid_search.h"

namespace nibble {
namespace {

constexpr int64_t kRows = 64;  // a chunk's

}  // namespace

FoldJudge::FoldJudge(FloatBlock& block, const Fold& fold, int64_t most_rows)
    : fold_(&fold), k_(static_cast<int64_t>(fold.channel_of.size())) {
  const InputStatistics& input = block.input(fold.stage);
  double tokens = static_cast<double>(input.tokens());
  for (double h : input.hessian()) H_.push_back(static_cast<float>(h / tokens));
  for (Role role : fold.readers) {
    const FloatMatrix& m = block.matrix(role);
    int64_t count = std::min(m.n, most_rows);
    Reader reader{{m.name, count, k_, {}, m.scheme}, 0};
    for (int64_t i = 0; i < count; ++i) {
      auto row = m.w.begin() + i * m.n / count * k_;
      reader.rows.w.insert(reader.rows.w.end(), row, row + k_);
    }
    for (int64_t r = 0; r < count; r += kRows) {
      int64_t rows = std::min(kRows, count - r);
      std::vector<float> w(reader.rows.w.begin() + r * k_, reader.rows.w.begin() + (r + rows) * k_);
      reader.energy += quadratic(w, rows);
    }
    readers_.push_back(std::move(reader));
  }
}

// Sum over rows of d H d'. d: (rows, k).
double FoldJudge::quadratic(const std::vector<float>& d, int64_t rows) const {
  std::vector<float> product(d.size());
  auto k = static_cast<int>(k_);
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, static_cast<int>(rows), k, k, 1, d.data(),
              k, H_.data(), k, 0, product.data(), k);
  double total = 0;
  for (size_t i = 0; i < d.size(); ++i) total += static_cast<double>(d[i]) * product[i];
  return total;
}

std::vector<float> FoldJudge::spread(const std::vector<float>& s) const {
  std::vector<float> columns;
  for (int64_t channel : fold_->channel_of) columns.push_back(s[static_cast<size_t>(channel)]);
  return columns;
}

double FoldJudge::error_of(const Reader& reader, const std::vector<float>& columns) const {
  FloatMatrix scaled = reader.rows;
  auto k = static_cast<size_t>(k_);
  for (size_t i = 0; i < scaled.w.size(); ++i) scaled.w[i] *= columns[i % k];
  QuantizedMatrix q = round_to_nearest(scaled, minmax_grids(scaled));
  int64_t chunks = ceil_div(scaled.n, kRows);
  std::vector<double> errors(static_cast<size_t>(chunks));
  parallel_for(chunks, [&](int64_t c) {
    int64_t first = c * kRows, rows = std::min(kRows, scaled.n - first);
    std::vector<float> d(static_cast<size_t>(rows * k_));
    for (int64_t r = 0; r < rows; ++r) q.dequantize(first + r, d.data() + r * k_);
    for (size_t i = 0; i < d.size(); ++i)
      d[i] = d[i] / columns[i % k] - reader.rows.w[static_cast<size_t>(first) * k + i];
    errors[static_cast<size_t>(c)] = quadratic(d, rows);
  });
  double total = 0;
  for (double e : errors) total += e;
  return reader.energy > 0 ? total / reader.energy : total;
}

double FoldJudge::rounding_error(const std::vector<float>& s) const {
  std::vector<float> columns = spread(s);
  double total = 0;
  for (const Reader& reader : readers_) total += error_of(reader, columns);
  return total;
}

double FoldJudge::noise_error(const std::vector<float>& s) const {
  std::vector<float> columns = spread(s);
  double total = 0;
  for (const Reader& reader : readers_) {
    double energy = 0;
    for (size_t i = 0; i < reader.rows.w.size(); ++i) {
      double w = static_cast<double>(reader.rows.w[i]) * columns[i % static_cast<size_t>(k_)];
      energy += w * w;
    }
    if (reader.energy > 0) total += energy / reader.energy;
  }
  return total;
}

}  // namespace nibble
