// AVX-512's registers: 16 lanes of 32 bits, as ymm.h has them of 8.
#pragma once

#include <immintrin.h>

#include "kernels/inline.h"

namespace nibble {
namespace {

constexpr int kRows = 16;  // 32-bit lanes of a vector
using Vector = __m512i;
using Floats = __m512;

NIBBLE_INLINE Vector load(const void* p) { return _mm512_loadu_si512(p); }
NIBBLE_INLINE void store(void* p, Vector v) { _mm512_storeu_si512(p, v); }
NIBBLE_INLINE Vector all(int value) { return _mm512_set1_epi32(value); }
NIBBLE_INLINE Vector all_bytes(int value) { return _mm512_set1_epi8(static_cast<char>(value)); }
NIBBLE_INLINE Vector add(Vector a, Vector b) { return _mm512_add_epi32(a, b); }
NIBBLE_INLINE Vector multiply(Vector a, Vector b) { return _mm512_mullo_epi32(a, b); }
// Bits may come from the byte above.
template <int kBits>
NIBBLE_INLINE Vector shift_right(Vector v) {
  return _mm512_srli_epi16(v, kBits);
}

NIBBLE_INLINE Floats load_floats(const float* p) { return _mm512_loadu_ps(p); }
NIBBLE_INLINE void store_floats(float* p, Floats v) { _mm512_storeu_ps(p, v); }
NIBBLE_INLINE Floats all_floats(float value) { return _mm512_set1_ps(value); }
NIBBLE_INLINE Floats to_floats(Vector v) { return _mm512_cvtepi32_ps(v); }
NIBBLE_INLINE Floats fma(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }

// kRows narrow numbers in memory.
NIBBLE_INLINE Floats widen_f16(const uint8_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
NIBBLE_INLINE Floats widen_bf16(const uint8_t* p) {
  __m512i words = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  return _mm512_castsi512_ps(_mm512_slli_epi32(words, 16));
}
NIBBLE_INLINE Vector widen_bytes(const uint8_t* p) {
  return _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}

}  // namespace
}  // namespace nibble
