#include "model/rope.h"

#include <cmath>
#include <numbers>

#include "kernels/kernels.h"

namespace nibble {
namespace {

float llama3_frequency(const RopeSpec& spec, float f) {
  double wavelength = 2 * std::numbers::pi / f;
  auto context = static_cast<double>(spec.original_context);
  if (wavelength < context / spec.high_freq_factor) return f;
  if (wavelength > context / spec.low_freq_factor) return static_cast<float>(f / spec.factor);
  double smooth = (context / wavelength - spec.low_freq_factor) /
                  (spec.high_freq_factor - spec.low_freq_factor);
  return static_cast<float>((1 - smooth) * f / spec.factor + smooth * f);
}

float frequency(const RopeSpec& spec, int64_t i, int64_t head_dim) {
  auto exponent = static_cast<float>(2 * i) / static_cast<float>(head_dim);
  float f = 1.f / std::pow(static_cast<float>(spec.theta), exponent);
  if (spec.kind == RopeSpec::Kind::kLinear) return static_cast<float>(f / spec.factor);
  if (spec.kind == RopeSpec::Kind::kLlama3) return llama3_frequency(spec, f);
  return f;
}

}  // namespace

Rope::Rope(const RopeSpec& spec, int64_t head_dim, int64_t capacity)
    : half_(head_dim / 2),
      capacity_(capacity),
      cos_(static_cast<size_t>(half_ * capacity)),
      sin_(cos_.size()) {
  for (int64_t i = 0; i < half_; ++i) {
    float f = frequency(spec, i, head_dim);
    for (int64_t p = 0; p < capacity; ++p) {
      float angle = static_cast<float>(p) * f;
      cos_[static_cast<size_t>(p * half_ + i)] = std::cos(angle);
      sin_[static_cast<size_t>(p * half_ + i)] = std::sin(angle);
    }
  }
}

void Rope::rotate(float* x, int64_t position) const {
  float_ops().rotate(x, cos_.data() + position * half_, sin_.data() + position * half_, half_);
}

void Rope::rotate_back(float* x, int64_t position) const {
  const float *cos = cos_.data() + position * half_, *sin = sin_.data() + position * half_;
  for (int64_t i = 0; i < half_; ++i) {
    float a = x[i], b = x[i + half_];
    x[i] = a * cos[i] + b * sin[i];
    x[i + half_] = b * cos[i] - a * sin[i];
  }
}

}  // namespace nibble
