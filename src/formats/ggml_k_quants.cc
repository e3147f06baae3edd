#include "formats/ggml_k_quants.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <span>

#include "formats/ggml_blocks.h"
#include "tensor/dtype.h"

namespace nibble {
namespace {

constexpr int kBlock = 256;
using Codes = std::array<uint8_t, kBlock>;

float put_half(std::byte* at, float value) {
  uint16_t h = float_to_f16(value);
  std::memcpy(at, &h, sizeof h);
  return f16_to_float(h);
}

int clamp_round(float v, int lo, int hi) {
  return static_cast<int>(
      std::clamp(std::nearbyintf(v), static_cast<float>(lo), static_cast<float>(hi)));
}

// The value of largest magnitude. By both ends, because clang 19 at -O3 gets a loop wrong that
// compares std::abs of two floats (GgmlQuantize.AGroupWithOneLargeValue).
float largest_of(std::span<const float> x) {
  auto [lo, hi] = std::minmax_element(x.begin(), x.end());
  return -*lo > *hi ? *lo : *hi;
}

// The scale of scale * q, q in [lo, hi], or 0. Tries scales around the one that puts the largest
// magnitude on an end, each with its codes' least squares; the best is kept.
float fit_symmetric(std::span<const float> x, int lo, int hi) {
  float largest = largest_of(x);
  if (largest == 0) return {};
  constexpr int kSteps = 9;
  float best = -1, out = 0;
  for (int end : {lo, hi})
    for (int step = -kSteps; step <= kSteps; ++step) {
      float inverse = (static_cast<float>(end) + 0.1f * static_cast<float>(step)) / largest;
      float xq = 0, qq = 0;
      for (float v : x) {
        auto q = static_cast<float>(clamp_round(v * inverse, lo, hi));
        xq += v * q;
        qq += q * q;
      }
      // With the best scale for these codes the error is x'x - (x'q)^2 / q'q.
      if (qq > 0 && xq * xq / qq > best) {
        best = xq * xq / qq;
        out = xq / qq;
      }
    }
  return out;
}

// scale * q - low, q in [0, most]; scale and low not below 0, as the formats store them.
struct Affine {
  float scale = 0, low = 0;
};

Affine fit_affine(std::span<const float> x, int most) {
  auto [lo, hi] = std::minmax_element(x.begin(), x.end());
  float least = std::min(*lo, 0.f), span = *hi - least;
  if (span <= 0) return {0, -least};
  constexpr int kSteps = 15;
  auto n = static_cast<float>(x.size());
  double best = HUGE_VAL;
  Affine out;
  for (int step = -10; step <= kSteps; ++step) {
    float inverse = (static_cast<float>(most) + 0.1f * static_cast<float>(step)) / span;
    float sq = 0, sqq = 0, sx = 0, sxq = 0;
    for (float v : x) {
      auto q = static_cast<float>(clamp_round((v - least) * inverse, 0, most));
      sq += q;
      sqq += q * q;
      sx += v;
      sxq += v * q;
    }
    float determinant = n * sqq - sq * sq;
    if (determinant <= 0) continue;
    Affine fit{(n * sxq - sx * sq) / determinant, -(sqq * sx - sq * sxq) / determinant};
    if (fit.low < 0) fit = {sqq > 0 ? sxq / sqq : 0, 0};
    if (fit.scale <= 0) continue;
    double error = 0;
    for (float v : x) {
      int q = clamp_round((v + fit.low) / fit.scale, 0, most);
      double d = static_cast<double>(fit.scale) * q - fit.low - v;
      error += d * d;
    }
    if (error < best) {
      best = error;
      out = fit;
    }
  }
  return out;
}

// Scales and minima of the groups as integers of a block's d and dmin.
template <int kGroups>
struct AffineGrid {
  std::array<int, kGroups> scales{}, lows{};
  float d = 0, dmin = 0;
};

// Fits each group, rounds its scale and minimum to [0, most_step] of the block's, and the codes to
// what that leaves. d and dmin go to `at` as float16.
template <int kGroups>
AffineGrid<kGroups> fit_affine_block(const float* x, int most, int most_step, std::byte* at,
                                     Codes& codes) {
  constexpr int kSize = kBlock / kGroups;
  std::array<Affine, kGroups> fits;
  float scale = 0, low = 0;
  for (size_t g = 0; g < kGroups; ++g) {
    fits[g] = fit_affine({x + g * kSize, kSize}, most);
    scale = std::max(scale, fits[g].scale);
    low = std::max(low, fits[g].low);
  }
  AffineGrid<kGroups> out;
  out.d = put_half(at, scale / static_cast<float>(most_step));
  out.dmin = put_half(at + 2, low / static_cast<float>(most_step));
  for (size_t g = 0; g < kGroups; ++g) {
    out.scales[g] = out.d > 0 ? clamp_round(fits[g].scale / out.d, 0, most_step) : 0;
    out.lows[g] = out.dmin > 0 ? clamp_round(fits[g].low / out.dmin, 0, most_step) : 0;
    float step = out.d * static_cast<float>(out.scales[g]);
    float shift = out.dmin * static_cast<float>(out.lows[g]);
    for (size_t j = g * kSize; j < (g + 1) * kSize; ++j)
      codes[j] = static_cast<uint8_t>(step > 0 ? clamp_round((x[j] + shift) / step, 0, most) : 0);
  }
  return out;
}

// Of 16 groups of 16; codes are q - lo, scales integers in [-limit, limit - 1].
std::array<int, 16> fit_symmetric_block(const float* x, int lo, int hi, int limit, std::byte* at,
                                        Codes& codes) {
  std::array<float, 16> fits{};
  for (size_t g = 0; g < 16; ++g) fits[g] = fit_symmetric({x + g * 16, 16}, lo, hi);
  float d = put_half(at, largest_of(fits) / static_cast<float>(-limit));
  std::array<int, 16> out{};
  for (size_t g = 0; g < 16; ++g) {
    out[g] = d != 0 ? clamp_round(fits[g] / d, -limit, limit - 1) : 0;
    float step = d * static_cast<float>(out[g]);
    for (size_t j = g * 16; j < (g + 1) * 16; ++j)
      codes[j] = static_cast<uint8_t>((step != 0 ? clamp_round(x[j] / step, lo, hi) : 0) - lo);
  }
  return out;
}

std::byte byte_of(int v) { return static_cast<std::byte>(v); }

// Element e of a layout with four shifts of two bits: halves of 128 share 32 bytes.
void put_two_bits(const Codes& codes, std::byte* qs) {
  for (size_t e = 0; e < kBlock; ++e)
    qs[e / 128 * 32 + e % 32] |= byte_of((codes[e] & 3) << (e % 128 / 32 * 2));
}

// Sub-block scales and minima of 6 bits in 12 bytes.
void put_scales(const AffineGrid<8>& grid, std::byte* s) {
  for (size_t j = 0; j < 4; ++j) {
    s[j] = byte_of(grid.scales[j] | (grid.scales[j + 4] >> 4) << 6);
    s[j + 4] = byte_of(grid.lows[j] | (grid.lows[j + 4] >> 4) << 6);
    s[j + 8] = byte_of((grid.scales[j + 4] & 15) | (grid.lows[j + 4] & 15) << 4);
  }
}

void put_nibbles(const Codes& codes, std::byte* qs) {
  for (size_t j = 0; j < 8; ++j)
    for (size_t i = 0; i < 32; ++i)
      qs[j / 2 * 32 + i] |= byte_of((codes[j * 32 + i] & 15) << (j % 2 * 4));
}

}  // namespace

void quantize_q2_k(const float* x, std::byte* out) {
  Codes codes;
  std::memset(out, 0, 84);
  auto grid = fit_affine_block<16>(x, 3, 15, out + 80, codes);
  for (size_t g = 0; g < 16; ++g) out[g] = byte_of(grid.scales[g] | grid.lows[g] << 4);
  put_two_bits(codes, out + 16);
}

void quantize_q3_k(const float* x, std::byte* out) {
  Codes codes;
  std::memset(out, 0, 110);
  std::array<int, 16> scales = fit_symmetric_block(x, -4, 3, 32, out + 108, codes);
  for (size_t e = 0; e < kBlock; ++e) out[e % 32] |= byte_of((codes[e] >> 2) << (e / 32));
  put_two_bits(codes, out + 32);
  std::byte* s = out + 96;
  for (size_t j = 0; j < 16; ++j) {
    int v = scales[j] + 32;
    s[j % 8] |= byte_of((v & 15) << (j / 8 * 4));
    s[8 + j % 4] |= byte_of((v >> 4) << (j / 4 * 2));
  }
}

void quantize_q4_k(const float* x, std::byte* out) {
  Codes codes;
  std::memset(out, 0, 144);
  put_scales(fit_affine_block<8>(x, 15, 63, out, codes), out + 4);
  put_nibbles(codes, out + 16);
}

void quantize_q5_k(const float* x, std::byte* out) {
  Codes codes;
  std::memset(out, 0, 176);
  put_scales(fit_affine_block<8>(x, 31, 63, out, codes), out + 4);
  for (size_t e = 0; e < kBlock; ++e) out[16 + e % 32] |= byte_of((codes[e] >> 4) << (e / 32));
  put_nibbles(codes, out + 48);
}

void quantize_q6_k(const float* x, std::byte* out) {
  Codes codes;
  std::memset(out, 0, 210);
  std::array<int, 16> scales = fit_symmetric_block(x, -32, 31, 128, out + 208, codes);
  for (size_t e = 0; e < kBlock; ++e) {
    size_t part = e / 128, r = e % 128;
    out[part * 64 + r % 64] |= byte_of((codes[e] & 15) << (r / 64 * 4));
    out[128 + part * 32 + r % 32] |= byte_of((codes[e] >> 4) << (r / 32 * 2));
  }
  for (size_t g = 0; g < 16; ++g) out[192 + g] = byte_of(scales[g]);
}

void quantize_iq4_nl(const float* x, std::byte* out) {
  std::span<const int8_t> table = iq4_values();
  auto nearest = [&](float v) {
    size_t at = 0;
    while (at + 1 < table.size() &&
           v > 0.5f * (static_cast<float>(table[at]) + static_cast<float>(table[at + 1])))
      ++at;
    return at;
  };
  float largest = largest_of({x, 32});
  constexpr int kSteps = 9;
  float best = 0, d = 0;
  for (size_t end : {size_t{0}, table.size() - 1})
    for (int step = -kSteps; largest != 0 && step <= kSteps; ++step) {
      float inverse = (static_cast<float>(table[end]) + static_cast<float>(step)) / largest;
      float xq = 0, qq = 0;
      for (int j = 0; j < 32; ++j) {
        auto q = static_cast<float>(table[nearest(x[j] * inverse)]);
        xq += x[j] * q;
        qq += q * q;
      }
      if (qq > 0 && xq * xq / qq > best) {
        best = xq * xq / qq;
        d = xq / qq;
      }
    }
  d = put_half(out, d);
  float inverse = d != 0 ? 1 / d : 0;
  for (int j = 0; j < 16; ++j)
    out[2 + j] =
        byte_of(static_cast<int>(nearest(x[j] * inverse) | nearest(x[j + 16] * inverse) << 4));
}

}  // namespace nibble
