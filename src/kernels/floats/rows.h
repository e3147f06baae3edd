// Norms, rotation and dot products, row by row.
#pragma once

#include "kernels/float_ops.h"
#include "kernels/floats/lanes.h"

namespace nibble {
namespace {

void rms_norm(const float* x, int64_t n, const float* weight, double eps, float* y) {
  Lanes sums = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) sums = fma(load(x + i), load(x + i), sums);
  double total = sum(sums);
  for (; i < n; ++i) total += static_cast<double>(x[i]) * x[i];
  auto scale = static_cast<float>(1 / __builtin_sqrt(total / static_cast<double>(n) + eps));
  for (i = 0; i + kLanes <= n; i += kLanes) store(y + i, load(x + i) * scale * load(weight + i));
  for (; i < n; ++i) y[i] = x[i] * scale * weight[i];
}

void layer_norm(const float* x, int64_t n, const float* weight, const float* bias, double eps,
                float* y) {
  Lanes sums = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) sums += load(x + i);
  double total = sum(sums);
  for (; i < n; ++i) total += x[i];
  auto mean = static_cast<float>(total / static_cast<double>(n));
  sums = Lanes{};
  for (i = 0; i + kLanes <= n; i += kLanes) {
    Lanes d = load(x + i) - mean;
    sums = fma(d, d, sums);
  }
  total = sum(sums);
  for (; i < n; ++i) total += static_cast<double>(x[i] - mean) * (x[i] - mean);
  auto scale = static_cast<float>(1 / __builtin_sqrt(total / static_cast<double>(n) + eps));
  for (i = 0; i + kLanes <= n; i += kLanes)
    store(y + i,
          (load(x + i) - mean) * scale * load(weight + i) + (bias ? load(bias + i) : Lanes{}));
  for (; i < n; ++i) y[i] = (x[i] - mean) * scale * weight[i] + (bias ? bias[i] : 0);
}

void rotate(float* x, const float* cos, const float* sin, int64_t half) {
  int64_t i = 0;
  for (; i + kLanes <= half; i += kLanes) {
    Lanes a = load(x + i), b = load(x + half + i), c = load(cos + i), s = load(sin + i);
    store(x + i, a * c - b * s);
    store(x + half + i, b * c + a * s);
  }
  for (; i < half; ++i) {
    float a = x[i], b = x[i + half];
    x[i] = a * cos[i] - b * sin[i];
    x[i + half] = b * cos[i] + a * sin[i];
  }
}

void rotate_neighbors(float* x, const float* cos, const float* sin, int64_t half) {
  int64_t i = 0;
  for (; i + kLanes <= half; i += kLanes) {
    float *at = x + 2 * i, *next = at + kLanes;
    Lanes p = load(at), q = load(next), c = load(cos + i), s = load(sin + i);
    Lanes a = even(p, q), b = odd(p, q);
    Lanes u = a * c - b * s, v = b * c + a * s;
    store(at, first_in_turns(u, v));
    store(next, last_in_turns(u, v));
  }
  for (; i < half; ++i) {
    float a = x[2 * i], b = x[2 * i + 1];
    x[2 * i] = a * cos[i] - b * sin[i];
    x[2 * i + 1] = b * cos[i] + a * sin[i];
  }
}

// Fewer than 16 columns.
template <class T>
NIBBLE_LANES float dot_rest(const T* w, const float* x, int64_t count) {
  T weights[2 * kLanes] = {};
  float inputs[2 * kLanes] = {};
  for (int64_t i = 0; i < count; ++i) weights[i] = w[i], inputs[i] = x[i];
  return sum(widen(weights) * load(inputs) + widen(weights + kLanes) * load(inputs + kLanes));
}

// Two rows of w at a time and 16 columns a step: four sums or more, so that none waits for the one
// before it.
template <class T, int kRows, int kColumns>
void dot_tile(const T* w, int64_t k, const float* x, float* y, int64_t ldy) {
  Lanes sums[kRows][kColumns][2] = {};
  int64_t i = 0;
  for (; i + 2 * kLanes <= k; i += 2 * kLanes) {
    NIBBLE_UNROLL
    for (int part = 0; part < 2; ++part) {
      int64_t at = i + part * kLanes;
      NIBBLE_UNROLL
      for (int r = 0; r < kRows; ++r) {
        Lanes v = widen(w + r * k + at);
        NIBBLE_UNROLL
        for (int c = 0; c < kColumns; ++c)
          sums[r][c][part] = fma(v, load(x + c * k + at), sums[r][c][part]);
      }
    }
  }
  for (int r = 0; r < kRows; ++r)
    for (int c = 0; c < kColumns; ++c) {
      float total = sum(sums[r][c][0] + sums[r][c][1]);
      if (i < k) total += dot_rest(w + r * k + i, x + c * k + i, k - i);
      y[c * ldy + r] = total;
    }
}

template <class T, int kColumns>
void dot_columns(const T* w, int64_t rows, int64_t k, const float* x, float* y, int64_t ldy) {
  int64_t r = 0;
  for (; r + 2 <= rows; r += 2) dot_tile<T, 2, kColumns>(w + r * k, k, x, y + r, ldy);
  if (r < rows) dot_tile<T, 1, kColumns>(w + r * k, k, x, y + r, ldy);
}

template <class T>
void dot_typed(const void* w, int64_t rows, int64_t k, const float* x, int64_t columns, float* y,
               int64_t ldy) {
  auto* from = static_cast<const T*>(w);
  switch (columns) {
    case 1:
      return dot_columns<T, 1>(from, rows, k, x, y, ldy);
    case 2:
      return dot_columns<T, 2>(from, rows, k, x, y, ldy);
    case 3:
      return dot_columns<T, 3>(from, rows, k, x, y, ldy);
    default:
      return dot_columns<T, 4>(from, rows, k, x, y, ldy);
  }
}

void dot_rows(FloatType type, const void* w, int64_t rows, int64_t k, const float* x,
              int64_t columns, float* y, int64_t ldy) {
  switch (type) {
    case FloatType::kF32:
      return dot_typed<float>(w, rows, k, x, columns, y, ldy);
    case FloatType::kF16:
      return dot_typed<Float16>(w, rows, k, x, columns, y, ldy);
    case FloatType::kBF16:
      return dot_typed<BFloat16>(w, rows, k, x, columns, y, ldy);
  }
}

}  // namespace
}  // namespace nibble
