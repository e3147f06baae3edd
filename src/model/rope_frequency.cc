#include "model/rope_frequency.h"

#include <algorithm>
#include <cmath>
#include <numbers>

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

}  // namespace

double rope_theta(const RopeSpec& spec, int64_t capacity) {
  if (spec.kind != RopeSpec::Kind::kDynamic) return spec.theta;
  auto dims = static_cast<double>(spec.dims);
  double share = static_cast<double>(std::max(capacity, spec.original_context)) /
                 static_cast<double>(spec.original_context);
  return spec.theta * std::pow(spec.factor * share - (spec.factor - 1), dims / (dims - 2));
}

float rope_frequency(const RopeSpec& spec, double theta, int64_t i, bool beyond) {
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

}  // namespace nibble
