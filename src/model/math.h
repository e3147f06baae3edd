// Float functions written so that the compiler can vectorize them.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace nibble {

// e^x to about 2 units in the last place; 0 below -87.3, saturates above 88. Cephes' reduction and
// minimax polynomial.
inline float fast_exp(float x) {
  float c = x < -87.3f ? -87.3f : x > 88.f ? 88.f : x;
  float n = (c * 1.44269504f + 12582912.f) - 12582912.f;  // rounds to the nearest integer
  float r = (c - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.f;
  float scale = std::bit_cast<float>((static_cast<int32_t>(n) + 127) << 23);
  return x < -87.3f ? 0.f : p * scale;
}

inline float silu(float x) { return x / (1.f + fast_exp(-x)); }

}  // namespace nibble
