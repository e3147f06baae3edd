// Products with bfloat16 weights as they lie in a file, by TDPBF16PS: 16 weight rows x 16
// activation rows x 32 columns an instruction. The weights' rows are a tile as they are; the
// activations, cut into their three parts, are laid out for the other side.
#pragma once

#include "kernels/amx/tiles.h"

namespace nibble {
namespace {

constexpr int64_t kPairs = 16;                           // of columns, in a tile
constexpr int64_t kTileFloats = kTileRows * 2 * kPairs;  // bfloat16 numbers of a tile
constexpr int64_t kRowsAtOnce = 2 * kTileRows;           // of weights and of activations
constexpr int64_t kPartsOfTile = kBf16Parts * kTileFloats;

template <int kTo, int kA, int kB>
NIBBLE_INLINE void multiply_bfloat16_tiles() {
  __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kTo), "i"(kA), "i"(kB));
}

// Lane i is i * 16: a column of 16 x 16 words.
NIBBLE_INLINE __m512i column_of_words() {
  return _mm512_slli_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                           4);
}

// The upper half of each number is the next part, and leaves the number less it. Nothing is left
// of one that is not finite.
NIBBLE_INLINE __m512i take_part(__m512& x) {
  constexpr int kNotFinite = 0x99;  // NaNs and infinities
  __m512i part = _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(-65536));
  auto finite = static_cast<__mmask16>(~_mm512_fpclass_ps_mask(x, kNotFinite));
  x = _mm512_maskz_sub_ps(finite, x, _mm512_castsi512_ps(part));
  return part;
}

// Bf16Products::cut. out: (k / 32, parts, pairs, 16 rows, 2).
void cut_in_parts(const float* x, int64_t rows, int64_t k, uint16_t* out) {
  alignas(64) uint32_t by_row[kBf16Parts][kTileRows][kPairs] = {};
  alignas(64) uint16_t upper[2 * kPairs];
  for (int i = 0; i < 2 * kPairs; ++i) upper[i] = static_cast<uint16_t>(2 * i + 1);
  const __m512i upper_halves = _mm512_load_si512(upper), column = column_of_words();
  for (int64_t at = 0; at < k; at += 2 * kPairs) {
    for (int64_t r = 0; r < rows; ++r) {
      __m512 a = _mm512_loadu_ps(x + r * k + at), b = _mm512_loadu_ps(x + r * k + at + kPairs);
      for (auto& part : by_row) {
        __m512i first = take_part(a), second = take_part(b);
        _mm512_store_si512(part[r], _mm512_permutex2var_epi16(first, upper_halves, second));
      }
    }
    for (auto& part : by_row)
      for (int64_t pair = 0; pair < kPairs; ++pair, out += 2 * kTileRows)
        _mm512_storeu_si512(out, _mm512_i32gather_epi32(column, &part[0][pair], 4));
  }
}

// Sums of 16 weight rows with up to 16 activation rows to y, of which they are columns.
template <int kTile>
NIBBLE_INLINE void store_transposed(int64_t rows, float* y, int64_t ldy) {
  alignas(64) float sums[kTileRows][kTileRows];
  store_tile<kTile>(sums, sizeof sums[0]);
  for (int64_t r = 0; r < rows; ++r)
    _mm512_storeu_ps(y + r * ldy, _mm512_i32gather_ps(column_of_words(), &sums[0][r], 4));
}

// Sums of 32 weight rows, w0 and w1, with 32 activation rows: tiles 0 and 1 with the first 16 of
// those, 2 and 3 with the others.
void sum_parts(const uint8_t* w0, const uint8_t* w1, int64_t k, const uint16_t* a,
               const uint16_t* b) {
  const int64_t row_bytes = 2 * k, step = 4 * kPairs;
  zero_tile<0>();
  zero_tile<1>();
  zero_tile<2>();
  zero_tile<3>();
  for (int64_t at = 0; at < row_bytes; at += step) {
    load_tile<4>(w0 + at, row_bytes);
    load_tile<5>(w1 + at, row_bytes);
    NIBBLE_UNROLL
    for (int part = 0; part < kBf16Parts; ++part, a += kTileFloats, b += kTileFloats) {
      load_tile<6>(a, 4 * kTileRows);
      multiply_bfloat16_tiles<0, 4, 6>();
      multiply_bfloat16_tiles<1, 5, 6>();
      load_tile<7>(b, 4 * kTileRows);
      multiply_bfloat16_tiles<2, 4, 7>();
      multiply_bfloat16_tiles<3, 5, 7>();
    }
  }
}

// Bf16Products::multiply. Where there are no second 16 rows the first stand in for them, and their
// sums are not stored.
void multiply_parts(const void* weights, int64_t n, int64_t k, const uint16_t* parts, int64_t rows,
                    float* y, int64_t ldy) {
  static constexpr TileConfig kConfig = whole_tiles();
  Tiles tiles(kConfig);
  const int64_t group = k / (2 * kPairs) * kPartsOfTile;
  for (int64_t r = 0; r < rows; r += kRowsAtOnce) {
    const int64_t left = rows - r, first = left < kTileRows ? left : kTileRows;
    const int64_t second = left - first < kTileRows ? left - first : kTileRows;
    const uint16_t* a = parts + r / kTileRows * group;
    for (int64_t i = 0; i < n; i += kRowsAtOnce) {
      const bool both = i + kTileRows < n;
      const uint8_t* w = static_cast<const uint8_t*>(weights) + i * 2 * k;
      sum_parts(w, both ? w + kTileRows * 2 * k : w, k, a, second > 0 ? a + group : a);
      float* to = y + r * ldy + i;
      store_transposed<0>(first, to, ldy);
      if (both) store_transposed<1>(first, to + kTileRows, ldy);
      if (second > 0) store_transposed<2>(second, to + kTileRows * ldy, ldy);
      if (both && second > 0) store_transposed<3>(second, to + kTileRows * ldy + kTileRows, ldy);
    }
  }
}

constexpr Bf16Products kBf16Products = {.cut = cut_in_parts, .multiply = multiply_parts};

}  // namespace
}  // namespace nibble
