// Eight floats as one value, in GCC's vector extension: one register on AVX2, two on NEON and SSE.
// Everything in floats/ is local to the file that includes it, so that no copy compiled with a
// folder's flags is ever linked elsewhere.
#pragma once

#include <cstdint>
#if defined(__FMA__) || defined(__F16C__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#else
#include "tensor/dtype.h"
#endif

// Every function here is inlined, so no vector is ever passed.
#pragma GCC diagnostic ignored "-Wpsabi"

#if defined(__clang__)
#define NIBBLE_UNROLL _Pragma("clang loop unroll(full)")
#else
#define NIBBLE_UNROLL _Pragma("GCC unroll 8")
#endif
#define NIBBLE_LANES static inline __attribute__((always_inline))

namespace nibble {
namespace {

constexpr int64_t kLanes = 8;
typedef float Lanes __attribute__((vector_size(32)));
typedef int32_t IntLanes __attribute__((vector_size(32)));
typedef uint32_t WordLanes __attribute__((vector_size(32)));

template <class V, class T>
NIBBLE_LANES V load_as(const T* p) {
  V v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
NIBBLE_LANES Lanes load(const float* p) { return load_as<Lanes>(p); }
NIBBLE_LANES void store(float* p, Lanes v) { __builtin_memcpy(p, &v, sizeof v); }
NIBBLE_LANES Lanes all(float x) { return Lanes{x, x, x, x, x, x, x, x}; }

// a * b + c, fused where the instruction set has it.
NIBBLE_LANES Lanes fma(Lanes a, Lanes b, Lanes c) {
#if defined(__FMA__)
  return (Lanes)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__aarch64__)
  float32x4_t r[2], x[2], y[2];
  __builtin_memcpy(x, &a, 32);
  __builtin_memcpy(y, &b, 32);
  __builtin_memcpy(r, &c, 32);
  r[0] = vfmaq_f32(r[0], x[0], y[0]);
  r[1] = vfmaq_f32(r[1], x[1], y[1]);
  Lanes v;
  __builtin_memcpy(&v, r, 32);
  return v;
#else
  return a * b + c;
#endif
}

// Two of them; one register with AVX-512.
#if defined(__AVX512F__)
typedef float WideLanes __attribute__((vector_size(64)));
NIBBLE_LANES WideLanes join(Lanes low, Lanes high) {
  return (WideLanes)_mm512_insertf32x8(_mm512_castps256_ps512((__m256)low), (__m256)high, 1);
}
NIBBLE_LANES Lanes low(WideLanes v) { return (Lanes)_mm512_castps512_ps256((__m512)v); }
NIBBLE_LANES Lanes high(WideLanes v) { return (Lanes)_mm512_extractf32x8_ps((__m512)v, 1); }
NIBBLE_LANES WideLanes fma(float a, WideLanes b, WideLanes c) {
  return (WideLanes)_mm512_fmadd_ps(_mm512_set1_ps(a), (__m512)b, (__m512)c);
}
#else
struct WideLanes {
  Lanes first, second;
};
NIBBLE_LANES WideLanes join(Lanes low, Lanes high) { return {low, high}; }
NIBBLE_LANES Lanes low(WideLanes v) { return v.first; }
NIBBLE_LANES Lanes high(WideLanes v) { return v.second; }
NIBBLE_LANES WideLanes fma(float a, WideLanes b, WideLanes c) {
  return {fma(all(a), b.first, c.first), fma(all(a), b.second, c.second)};
}
#endif

// Every second of sixteen, and two of eight taken in turns: their first four, their last four.
NIBBLE_LANES Lanes even(Lanes a, Lanes b) {
  return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14);
}
NIBBLE_LANES Lanes odd(Lanes a, Lanes b) {
  return __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15);
}
NIBBLE_LANES Lanes first_in_turns(Lanes a, Lanes b) {
  return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
}
NIBBLE_LANES Lanes last_in_turns(Lanes a, Lanes b) {
  return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}

NIBBLE_LANES Lanes larger(Lanes a, Lanes b) { return a > b ? a : b; }

// In a fixed order.
NIBBLE_LANES float sum(Lanes v) {
  return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}
NIBBLE_LANES float largest(Lanes v) {
  float most = v[0];
  NIBBLE_UNROLL
  for (int i = 1; i < kLanes; ++i) most = v[i] > most ? v[i] : most;
  return most;
}

// Stored numbers to floats.
NIBBLE_LANES Lanes widen(const float* p) { return load(p); }
struct Float16 {
  uint16_t bits;
};
NIBBLE_LANES Lanes widen(const Float16* p) {
#if defined(__F16C__)
  return (Lanes)_mm256_cvtph_ps(load_as<__m128i>(p));
#elif defined(__aarch64__)
  float32x4_t r[2] = {vcvt_f32_f16(load_as<float16x4_t>(p)),
                      vcvt_f32_f16(load_as<float16x4_t>(p + 4))};
  Lanes v;
  __builtin_memcpy(&v, r, 32);
  return v;
#else
  // 2^112 moves the exponent's bias from 15 to 127, subnormal numbers included.
  typedef uint16_t Shorts __attribute__((vector_size(16)));
  WordLanes h = __builtin_convertvector(load_as<Shorts>(p), WordLanes);
  Lanes size = (Lanes)((h & 0x7fffu) << 13) * 0x1p112f;
  WordLanes special = (WordLanes)((h & 0x7c00u) == 0x7c00u) & 0x7f800000u;
  return (Lanes)((WordLanes)size | special | (h & 0x8000u) << 16);
#endif
}
struct BFloat16 {
  uint16_t bits;
};
NIBBLE_LANES Lanes widen(const BFloat16* p) {
  typedef uint16_t Shorts __attribute__((vector_size(16)));
  return (Lanes)(__builtin_convertvector(load_as<Shorts>(p), WordLanes) << 16);
}
NIBBLE_LANES Lanes widen(const int8_t* p) {
  typedef int8_t Bytes __attribute__((vector_size(8)));
  return __builtin_convertvector(load_as<Bytes>(p), Lanes);
}

NIBBLE_LANES void narrow(float x, float& out) { out = x; }
NIBBLE_LANES void narrow(float x, Float16& out) {
#if defined(__F16C__)
  out.bits = static_cast<uint16_t>(_cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT));
#elif defined(__aarch64__)
  out.bits = __builtin_bit_cast(uint16_t, static_cast<__fp16>(x));
#else
  out.bits = float_to_f16(x);
#endif
}

// e^x to about 2 units in the last place; 0 below -87.3, saturates above 88. Cephes' reduction and
// minimax polynomial.
NIBBLE_LANES Lanes exp(Lanes x) {
  Lanes c = x < all(-87.3f) ? all(-87.3f) : x > all(88.f) ? all(88.f) : x;
  Lanes shifted = fma(c, all(1.44269504f), all(12582912.f));  // rounds to the nearest integer
  Lanes n = shifted - 12582912.f;
  Lanes r = fma(n, all(2.12194440e-4f), c - n * 0.693359375f);
  Lanes p = all(1.9875691500e-4f);
  p = fma(p, r, all(1.3981999507e-3f));
  p = fma(p, r, all(8.3334519073e-3f));
  p = fma(p, r, all(4.1665795894e-2f));
  p = fma(p, r, all(1.6666665459e-1f));
  p = fma(p, r, all(5.0000001201e-1f));
  p = fma(p, r * r, r + 1.f);
  // The integer sits in the low bits of the shifted sum.
  Lanes power = (Lanes)(((IntLanes)shifted << 23) + (127 << 23));
  return x < all(-87.3f) ? all(0.f) : p * power;
}

// 1 - 2 / (e^2x + 1): absolute error of a unit in the last place of 1.
NIBBLE_LANES Lanes tanh(Lanes x) { return 1.f - 2.f / (exp(x + x) + 1.f); }

// Absolute error below 5e-7. Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26.
NIBBLE_LANES Lanes erf(Lanes x) {
  Lanes size = x < Lanes{} ? -x : x;
  Lanes t = 1.f / fma(size, all(.3275911f), all(1.f));
  Lanes p = all(1.061405429f);
  p = fma(p, t, all(-1.453152027f));
  p = fma(p, t, all(1.421413741f));
  p = fma(p, t, all(-.284496736f));
  p = fma(p, t, all(.254829592f));
  Lanes y = 1.f - p * t * exp(-size * size);
  return x < Lanes{} ? -y : y;
}

}  // namespace
}  // namespace nibble
