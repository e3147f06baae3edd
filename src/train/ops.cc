#include "train/ops.h"

#include <algorithm>
#include <cmath>

#include "base/checked.h"
#include "base/threads.h"
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
  parallel_for(ceil_div(count, kChunk), [&](int64_t chunk) {
    for (int64_t i = chunk * kChunk; i < std::min(count, (chunk + 1) * kChunk); ++i) {
      float s = 1 / (1 + std::exp(-gate[i]));
      dgate[i] = dact[i] * up[i] * s * (1 + gate[i] * (1 - s));
      dact[i] *= gate[i] * s;
    }
  });
}

void input_gradient(const float* dy, int64_t rows, int64_t ldy, const float* w, int64_t n,
                    int64_t k, bool add, float* dx) {
  constexpr int64_t kRows = 256;
  parallel_for(ceil_div(rows, kRows), [&](int64_t chunk) {
    int64_t r = chunk * kRows;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans,
                static_cast<int>(std::min(kRows, rows - r)), static_cast<int>(k),
                static_cast<int>(n), 1, dy + r * ldy, static_cast<int>(ldy), w, static_cast<int>(k),
                add ? 1.f : 0.f, dx + r * k, static_cast<int>(k));
  });
}

void weight_gradient(const float* dy, int64_t rows, int64_t ldy, const float* x, int64_t n,
                     int64_t k, float* dw) {
  constexpr int64_t kOutputs = 128;
  parallel_for(ceil_div(n, kOutputs), [&](int64_t chunk) {
    int64_t i = chunk * kOutputs;
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans,
                static_cast<int>(std::min(kOutputs, n - i)), static_cast<int>(k),
                static_cast<int>(rows), 1, dy + i, static_cast<int>(ldy), x, static_cast<int>(k), 1,
                dw + i * k, static_cast<int>(k));
  });
}

}  // namespace nibble
