#include "quant/statistics.h"

#include <cmath>

#include "base/checked.h"
#include "base/threads.h"
#include "model/blas.h"

namespace nibble {
namespace {

// Tiles of H: large ones cost less packing, small ones leave work for every thread where H is
// small.
int64_t tile_size(int64_t k) { return k > 4096 ? 512 : k > 512 ? 256 : 128; }

// out += a' b tile by tile; with `upper` only tiles that touch the upper triangle. a, b: (rows, k).
void add_products(const float* a, const float* b, int64_t rows, int64_t k, bool upper,
                  std::vector<double>& out) {
  int64_t tile = tile_size(k), tiles = ceil_div(k, tile);
  parallel_for(tiles * tiles, [&](int64_t t) {
    int64_t i0 = t / tiles * tile, j0 = t % tiles * tile;
    if (upper && j0 < i0) return;
    int64_t m = std::min(tile, k - i0), n = std::min(tile, k - j0);
    thread_local std::vector<float> sum;
    sum.resize(static_cast<size_t>(tile * tile));
    auto ld = static_cast<int>(k);
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, static_cast<int>(m), static_cast<int>(n),
                static_cast<int>(rows), 1, a + i0, ld, b + j0, ld, 0, sum.data(),
                static_cast<int>(tile));
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j)
        out[static_cast<size_t>((i0 + i) * k + j0 + j)] += sum[static_cast<size_t>(i * tile + j)];
  });
}

}  // namespace

InputStatistics::InputStatistics(int64_t k, Need need)
    : k_(k),
      need_(need),
      h_(static_cast<size_t>(need >= Need::kHessian ? k * k : k)),
      sum_(static_cast<size_t>(k)),
      absmax_(static_cast<size_t>(k)),
      drift_(static_cast<size_t>(need == Need::kDrift ? k * k : 0)) {}

InputStatistics::InputStatistics(Sums sums, Need need)
    : k_(static_cast<int64_t>(sums.sum.size())),
      tokens_(sums.tokens),
      need_(need),
      h_(std::move(sums.h)),
      sum_(std::move(sums.sum)),
      absmax_(std::move(sums.absmax)) {}

double InputStatistics::diagonal(int64_t j) const {
  return h_[static_cast<size_t>(has_hessian() ? j * k_ + j : j)];
}

// A chunk of columns at a time, rows in their order.
void InputStatistics::add_columns(const float* x, int64_t rows) {
  constexpr int64_t kColumns = 256;
  parallel_for(ceil_div(k_, kColumns), [&](int64_t chunk) {
    auto first = static_cast<size_t>(chunk * kColumns),
         last = std::min(static_cast<size_t>(k_), first + kColumns);
    for (int64_t r = 0; r < rows; ++r)
      for (size_t j = first; j < last; ++j) {
        double v = x[static_cast<size_t>(r * k_) + j];
        sum_[j] += v;
        absmax_[j] = std::max(absmax_[j], std::fabs(v));
      }
  });
}

void InputStatistics::add(const float* x, int64_t rows) {
  tokens_ += rows;
  add_columns(x, rows);
  if (!has_hessian()) {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t j = 0; j < k_; ++j)
        h_[static_cast<size_t>(j)] += static_cast<double>(x[r * k_ + j]) * x[r * k_ + j];
    return;
  }
  add_products(x, x, rows, k_, true, h_);
}

void InputStatistics::add_drift(const float* x, const float* reference, int64_t rows) {
  std::vector<float> difference(reference, reference + rows * k_);
  for (size_t i = 0; i < difference.size(); ++i) difference[i] -= x[i];
  add_products(difference.data(), x, rows, k_, false, drift_);
}

void InputStatistics::divide_inputs(std::span<const float> s) {
  auto k = static_cast<size_t>(k_);
  for (size_t i = 0; i < k; ++i) {
    sum_[i] /= s[i];
    absmax_[i] /= s[i];
    if (!has_hessian()) h_[i] /= static_cast<double>(s[i]) * s[i];
  }
  if (!has_hessian()) return;
  for (size_t i = 0; i < k; ++i)
    for (size_t j = 0; j < k; ++j) h_[i * k + j] /= static_cast<double>(s[i]) * s[j];
}

Status InputStatistics::finish(const std::string& layer) {
  for (int64_t j = 0; j < k_; ++j)
    if (!std::isfinite(diagonal(j)))
      return fail("{}: calibration made NaN or infinite activations in input channel {}", layer, j);
  if (!has_hessian()) return {};
  for (int64_t i = 0; i < k_; ++i)
    for (int64_t j = i + 1; j < k_; ++j)
      h_[static_cast<size_t>(j * k_ + i)] = h_[static_cast<size_t>(i * k_ + j)];
  return {};
}

}  // namespace nibble
