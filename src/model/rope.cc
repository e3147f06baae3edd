#include "model/rope.h"

#include <algorithm>
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

// Dimensions that turn often enough within the first context keep their frequency, those that turn
// seldom take positions divided by the factor, those between a share of both.
float yarn_frequency(const RopeSpec& spec, float f, int64_t i) {
  auto dims = static_cast<double>(spec.dims), context = static_cast<double>(spec.original_context);
  auto dimension = [&](double rotations) {
    return dims * std::log(context / (rotations * 2 * std::numbers::pi)) /
           (2 * std::log(spec.theta));
  };
  double low = dimension(spec.beta_fast), high = dimension(spec.beta_slow);
  if (spec.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.);
  high = std::min(high, dims - 1);
  if (low == high) high += .001;
  auto slow = std::clamp(
      (static_cast<float>(i) - static_cast<float>(low)) / static_cast<float>(high - low), 0.f, 1.f);
  return f / static_cast<float>(spec.factor) * slow + f * (1 - slow);
}

// NTK-aware: the base grows with the sequence beyond the first context.
double theta_of(const RopeSpec& spec, int64_t capacity) {
  if (spec.kind != RopeSpec::Kind::kDynamic) return spec.theta;
  auto dims = static_cast<double>(spec.dims);
  double share = static_cast<double>(std::max(capacity, spec.original_context)) /
                 static_cast<double>(spec.original_context);
  return spec.theta * std::pow(spec.factor * share - (spec.factor - 1), dims / (dims - 2));
}

float frequency(const RopeSpec& spec, double theta, int64_t i, bool beyond) {
  auto exponent = static_cast<float>(2 * i) / static_cast<float>(spec.dims);
  float power = std::pow(static_cast<float>(theta), exponent), f = 1.f / power;
  switch (spec.kind) {
    case RopeSpec::Kind::kDefault:
    case RopeSpec::Kind::kDynamic:
      return f;
    case RopeSpec::Kind::kLinear:
      return static_cast<float>(f / spec.factor);
    case RopeSpec::Kind::kLlama3:
      return llama3_frequency(spec, f);
    case RopeSpec::Kind::kYarn:
      return yarn_frequency(spec, f, i);
    case RopeSpec::Kind::kLongrope:
      return 1.f /
             ((beyond ? spec.long_factors : spec.short_factors)[static_cast<size_t>(i)] * power);
  }
  return f;
}

}  // namespace

Rope::Rope(const RopeSpec& spec, int64_t capacity)
    : half_(spec.dims / 2),
      short_context_(spec.kind == RopeSpec::Kind::kLongrope ? spec.original_context : 0),
      interleaved_(spec.interleaved) {
  fill(spec, capacity, true, usual_);
  if (short_context_ > 0) fill(spec, std::min(capacity, short_context_), false, short_);
}

void Rope::fill(const RopeSpec& spec, int64_t capacity, bool beyond, Table& out) const {
  out.cos.resize(static_cast<size_t>(half_ * capacity));
  out.sin.resize(out.cos.size());
  auto scale = static_cast<float>(spec.attention_factor);
  double theta = theta_of(spec, capacity);
  for (int64_t i = 0; i < half_; ++i) {
    float f = frequency(spec, theta, i, beyond);
    for (int64_t p = 0; p < capacity; ++p) {
      float angle = static_cast<float>(p) * f;
      out.cos[static_cast<size_t>(p * half_ + i)] = std::cos(angle) * scale;
      out.sin[static_cast<size_t>(p * half_ + i)] = std::sin(angle) * scale;
    }
  }
}

const Rope::Table& Rope::table(int64_t longest) const {
  return longest <= short_context_ ? short_ : usual_;
}

void Rope::rotate(float* x, int64_t position, int64_t longest) const {
  const Table& t = table(longest);
  const float *cos = t.cos.data() + position * half_, *sin = t.sin.data() + position * half_;
  if (!interleaved_) return float_ops().rotate(x, cos, sin, half_);
  for (int64_t i = 0; i < half_; ++i) {
    float a = x[2 * i], b = x[2 * i + 1];
    x[2 * i] = a * cos[i] - b * sin[i];
    x[2 * i + 1] = b * cos[i] + a * sin[i];
  }
}

void Rope::rotate_back(float* x, int64_t position, int64_t longest) const {
  const Table& t = table(longest);
  const float *cos = t.cos.data() + position * half_, *sin = t.sin.data() + position * half_;
  int64_t step = interleaved_ ? 2 : 1, apart = interleaved_ ? 1 : half_;
  for (int64_t i = 0; i < half_; ++i) {
    float &a = x[i * step], &b = x[i * step + apart];
    float was = a;
    a = was * cos[i] + b * sin[i];
    b = b * cos[i] - was * sin[i];
  }
}

}  // namespace nibble
