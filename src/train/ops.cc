#include "train/ops.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/checked.h"
#include "base/threads.h"
#include "kernels/floats/activations.h"
#include "model/blas.h"

namespace nibble {
namespace {

constexpr int64_t kNormRows = 64;

// One row: dx += dy's way back through the norm; own (2, n), or null, += dL/dweight, dL/dbias.
void norm_row_backward(bool centered, const float* x, const float* weight, double eps,
                       const float* dy, int64_t n, float* dx, float* own) {
  double total = 0, squares = 0, along = 0, sum = 0;
  for (int64_t i = 0; centered && i < n; ++i) total += x[i];
  auto mean = static_cast<float>(total / static_cast<double>(n));
  for (int64_t i = 0; i < n; ++i) {
    double d = x[i] - mean, g = static_cast<double>(dy[i]) * weight[i];
    squares += d * d;
    along += g * d;
    sum += g;
  }
  double inverse = 1 / std::sqrt(squares / static_cast<double>(n) + eps);
  auto scale = static_cast<float>(inverse);
  auto back = static_cast<float>(along * inverse * inverse * inverse / static_cast<double>(n));
  auto level = centered ? static_cast<float>(sum * inverse / static_cast<double>(n)) : 0.f;
  for (int64_t i = 0; i < n; ++i) dx[i] += dy[i] * weight[i] * scale - (x[i] - mean) * back - level;
  for (int64_t i = 0; own && i < n; ++i) {
    own[i] += dy[i] * (x[i] - mean) * scale;
    own[n + i] += dy[i];
  }
}

// f and its slope at x.
template <Activation f>
std::pair<Lanes, Lanes> with_slope(Lanes x) {
  Lanes y = activated<f>(x);
  if constexpr (f == Activation::kSilu || f == Activation::kGeluQuick) {
    float k = f == Activation::kSilu ? 1 : 1.702f;
    Lanes s = 1.f / (exp(-k * x) + 1.f);
    return {y, s * (1.f + k * x * (1.f - s))};
  }
  if constexpr (f == Activation::kGelu)
    return {y, .5f * (erf(x * .70710678f) + 1.f) + x * .39894228f * exp(-.5f * x * x)};
  if constexpr (f == Activation::kGeluTanh) {
    Lanes square = x * x, t = tanh(.79788456f * x * (1.f + .044715f * square));
    return {y, .5f * (1.f + t) + .5f * x * (1.f - t * t) * .79788456f * (1.f + .134145f * square)};
  }
  if constexpr (f == Activation::kRelu) return {y, x > Lanes{} ? all(1) : Lanes{}};
  return {y, x > Lanes{} ? 2.f * x : Lanes{}};
}

template <Activation f>
void activation_backward_as(const float* gate, const float* up, int64_t count, float* dact,
                            float* dgate) {
  constexpr int64_t kChunk = 1 << 14;
  parallel_for(ceil_div(count, kChunk), [&](int64_t chunk) {
    int64_t end = std::min(count, (chunk + 1) * kChunk);
    for (int64_t i = chunk * kChunk; i < end; i += kLanes) {
      auto bytes = static_cast<size_t>(std::min(kLanes, end - i)) * sizeof(float);
      float x[kLanes] = {}, d[kLanes] = {}, u[kLanes] = {};
      std::memcpy(x, (gate ? gate : up) + i, bytes);
      std::memcpy(d, dact + i, bytes);
      auto [y, slope] = with_slope<f>(load(x));
      if (gate) {
        std::memcpy(u, up + i, bytes);
        store(x, load(d) * load(u) * slope);
        std::memcpy(dgate + i, x, bytes);
      }
      store(d, load(d) * (gate ? y : slope));
      std::memcpy(dact + i, d, bytes);
    }
  });
}

}  // namespace

void norm_backward(const DecoderConfig& c, const float* x, std::span<const float> weight,
                   const float* dy, int64_t rows, float* dx, float* dweight, float* dbias) {
  auto n = static_cast<int64_t>(weight.size());
  int64_t chunks = ceil_div(rows, kNormRows);
  bool learns = dweight || dbias;
  std::vector<float> sums(learns ? static_cast<size_t>(chunks * 2 * n) : 0);
  parallel_for(chunks, [&](int64_t chunk) {
    float* own = learns ? sums.data() + chunk * 2 * n : nullptr;
    for (int64_t r = chunk * kNormRows; r < std::min(rows, (chunk + 1) * kNormRows); ++r)
      norm_row_backward(c.norm == NormKind::kLayer, x + r * n, weight.data(), c.norm_eps,
                        dy + r * n, n, dx + r * n, own);
  });
  for (int64_t chunk = 0; learns && chunk < chunks; ++chunk) {
    const float* own = sums.data() + chunk * 2 * n;
    for (int64_t i = 0; dweight && i < n; ++i) dweight[i] += own[i];
    for (int64_t i = 0; dbias && i < n; ++i) dbias[i] += own[n + i];
  }
}

void activation_backward(Activation f, const float* gate, const float* up, int64_t count,
                         float* dact, float* dgate) {
  switch (f) {
    case Activation::kSilu:
      return activation_backward_as<Activation::kSilu>(gate, up, count, dact, dgate);
    case Activation::kGelu:
      return activation_backward_as<Activation::kGelu>(gate, up, count, dact, dgate);
    case Activation::kGeluTanh:
      return activation_backward_as<Activation::kGeluTanh>(gate, up, count, dact, dgate);
    case Activation::kGeluQuick:
      return activation_backward_as<Activation::kGeluQuick>(gate, up, count, dact, dgate);
    case Activation::kRelu:
      return activation_backward_as<Activation::kRelu>(gate, up, count, dact, dgate);
    case Activation::kRelu2:
      return activation_backward_as<Activation::kRelu2>(gate, up, count, dact, dgate);
  }
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
  if (!l.dw && !l.db) return {};
  constexpr int64_t kOutputs = 256;  // fewer would read x more often
  return {ceil_div(l.n, kOutputs), false, [=](int64_t chunk) {
            int64_t i = chunk * kOutputs, end = std::min(l.n, i + kOutputs);
            for (int64_t r = 0; l.db && r < rows; ++r)
              for (int64_t j = i; j < end; ++j) l.db[j] += l.dy[r * l.ldy + j];
            if (!l.dw) return;
            cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, static_cast<int>(end - i),
                        static_cast<int>(l.k), static_cast<int>(rows), 1, l.dy + i,
                        static_cast<int>(l.ldy), l.x, static_cast<int>(l.k), 1, l.dw + i * l.k,
                        static_cast<int>(l.k));
          }};
}

}  // namespace nibble
