// Activations of an MLP, with or without a gate.
#pragma once

#include "kernels/float_ops.h"
#include "kernels/floats/lanes.h"

namespace nibble {
namespace {

template <Activation f>
NIBBLE_LANES Lanes activated(Lanes x) {
  if constexpr (f == Activation::kSilu) return x / (exp(-x) + 1.f);
  if constexpr (f == Activation::kGelu) return .5f * x * (erf(x * .70710678f) + 1.f);
  if constexpr (f == Activation::kGeluTanh)
    return .5f * x * (tanh(.79788456f * x * fma(x * x, all(.044715f), all(1.f))) + 1.f);
  if constexpr (f == Activation::kGeluQuick) return x / (exp(-1.702f * x) + 1.f);
  Lanes positive = x > Lanes{} ? x : Lanes{};
  return f == Activation::kRelu ? positive : positive * positive;
}

// y = f(x), times y where kTimes. Fewer numbers than a vector go through one that is padded.
template <Activation f, bool kTimes>
void activate_all(const float* x, int64_t n, float* y) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    Lanes v = activated<f>(load(x + i));
    store(y + i, kTimes ? load(y + i) * v : v);
  }
  float rest[kLanes] = {};
  for (int64_t j = i; j < n; ++j) rest[j - i] = x[j];
  Lanes v = activated<f>(load(rest));
  for (; i < n; ++i) y[i] = kTimes ? y[i] * v[i % kLanes] : v[i % kLanes];
}

template <bool kTimes>
void activate_as(Activation f, const float* x, int64_t n, float* y) {
  switch (f) {
    case Activation::kSilu:
      return activate_all<Activation::kSilu, kTimes>(x, n, y);
    case Activation::kGelu:
      return activate_all<Activation::kGelu, kTimes>(x, n, y);
    case Activation::kGeluTanh:
      return activate_all<Activation::kGeluTanh, kTimes>(x, n, y);
    case Activation::kGeluQuick:
      return activate_all<Activation::kGeluQuick, kTimes>(x, n, y);
    case Activation::kRelu:
      return activate_all<Activation::kRelu, kTimes>(x, n, y);
    case Activation::kRelu2:
      return activate_all<Activation::kRelu2, kTimes>(x, n, y);
  }
}

void activate_times(Activation f, const float* gate, int64_t n, float* y) {
  activate_as<true>(f, gate, n, y);
}

void activate(Activation f, int64_t n, float* x) { activate_as<false>(f, x, n, x); }

}  // namespace
}  // namespace nibble
