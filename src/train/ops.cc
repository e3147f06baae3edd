#include "train/ops.h"

#include <algorithm>
#include <cmath>

#include "base/checked.h"
#include "base/threads.h"
#include "kernels/floats/lanes.h"
#include "model/blas.h"

namespace nibble {
namespace {

constexpr int64_t kRowChunk = 64;

}  // namespace

void rms_norm_backward(const float* x, std::span<const float> weight, double eps, const float* dy,
                       int64_t rows, float* dx, float* dweight) {
  auto n = static_cast<int64_t>(weight.size());
  int64_t chunks = ceil_div(rows, kRowChunk);
  std::vector<float> sums(dweight ? static_cast<size_t>(chunks * n) : 0);
  parallel_for(chunks, [&](int64_t chunk) {
    float* own = dweight ? sums.data() + chunk * n : nullptr;
    for (int64_t r = chunk * kRowChunk; r < std::min(rows, (chunk + 1) * kRowChunk); ++r) {
      const float *xr = x + r * n, *dr = dy + r * n;
      float* out = dx + r * n;
      double squares = 0, along = 0;
      for (int64_t i = 0; i < n; ++i) {
        squares += static_cast<double>(xr[i]) * xr[i];
        along += static_cast<double>(dr[i]) * weight[static_cast<size_t>(i)] * xr[i];
      }
      double inverse = 1 / std::sqrt(squares / static_cast<double>(n) + eps);
      auto scale = static_cast<float>(inverse);
      auto back = static_cast<float>(along * inverse * inverse * inverse / static_cast<double>(n));
      for (int64_t i = 0; i < n; ++i)
        out[i] += dr[i] * weight[static_cast<size_t>(i)] * scale - xr[i] * back;
      if (own)
        for (int64_t i = 0; i < n; ++i) own[i] += dr[i] * xr[i] * scale;
    }
  });
  for (int64_t chunk = 0; dweight && chunk < chunks; ++chunk)
    for (int64_t i = 0; i < n; ++i) dweight[i] += sums[static_cast<size_t>(chunk * n + i)];
}

void silu_times_backward(const float* gate, const float* up, int64_t count, float* dact,
                         float* dgate) {
  constexpr int64_t kChunk = 1 << 14;
  auto backward = [](auto g, auto u, auto sigmoid, auto& d, auto& dg) {
    dg = d * u * sigmoid * (1.f + g * (1.f - sigmoid));
    d *= g * sigmoid;
  };
  parallel_for(ceil_div(count, kChunk), [&](int64_t chunk) {
    int64_t i = chunk * kChunk, end = std::min(count, i + kChunk);
    for (; i + kLanes <= end; i += kLanes) {
      Lanes g = load(gate + i), d = load(dact + i), dg;
      backward(g, load(up + i), 1.f / (exp(-g) + 1.f), d, dg);
      store(dact + i, d);
      store(dgate + i, dg);
    }
    for (; i < end; ++i) backward(gate[i], up[i], 1 / (1 + std::exp(-gate[i])), dact[i], dgate[i]);
  });
}

Pieces input_gradient(std::span<const LinearGradient> linears, int64_t rows, float* dx) {
  constexpr int64_t kRows = 256;
  return {ceil_div(rows, kRows), false, [=](int64_t chunk) {
            int64_t r = chunk * kRows;
            float add = 0;
            for (const LinearGradient& l : linears) {
              cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans,
                          static_cast<int>(std::min(kRows, rows - r)), static_cast<int>(l.k),
                          static_cast<int>(l.n), 1, l.dy + r * l.ldy, static_cast<int>(l.ldy), l.w,
                          static_cast<int>(l.k), add, dx + r * l.k, static_cast<int>(l.k));
              add = 1;
            }
          }};
}

Pieces weight_gradient(const LinearGradient& l, int64_t rows) {
  if (!l.dw) return {};
  constexpr int64_t kOutputs = 256;  // fewer would read x more often
  return {ceil_div(l.n, kOutputs), false, [=](int64_t chunk) {
            int64_t i = chunk * kOutputs;
            cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans,
                        static_cast<int>(std::min(kOutputs, l.n - i)), static_cast<int>(l.k),
                        static_cast<int>(rows), 1, l.dy + i, static_cast<int>(l.ldy), l.x,
                        static_cast<int>(l.k), 1, l.dw + i * l.k, static_cast<int>(l.k));
          }};
}

}  // namespace nibble
