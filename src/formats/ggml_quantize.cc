#include "formats/ggml_quantize.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "formats/ggml_fit.h"
#include "tensor/dtype.h"

namespace nibble {
namespace {

void put_half(std::byte* at, float value) {
  uint16_t h = float_to_f16(value);
  std::memcpy(at, &h, sizeof h);
}

// Of 32 values the one of largest magnitude, the first of equals.
float signed_largest(const float* x) {
  const float *lo = std::min_element(x, x + 32), *hi = std::max_element(x, x + 32);
  return -*lo > *hi || (-*lo == *hi && lo < hi) ? *lo : *hi;
}

std::byte two(int low, int high) { return static_cast<std::byte>(low | high << 4); }

void q4_0(const float* x, std::byte* b) {
  float d = signed_largest(x) / -8, id = d != 0 ? 1 / d : 0;
  put_half(b, d);
  auto code = [&](int j) {
    return std::min(15, static_cast<int>(static_cast<int8_t>(x[j] * id + 8.5f)));
  };
  for (int j = 0; j < 16; ++j) b[2 + j] = two(code(j), code(j + 16));
}

void q4_1(const float* x, std::byte* b) {
  auto [lo, hi] = std::minmax_element(x, x + 32);
  float low = *lo, d = (*hi - low) / 15, id = d != 0 ? 1 / d : 0;
  put_half(b, d);
  put_half(b + 2, low);
  auto code = [&](int j) {
    return std::min(15, static_cast<int>(static_cast<int8_t>((x[j] - low) * id + 0.5f)));
  };
  for (int j = 0; j < 16; ++j) b[4 + j] = two(code(j), code(j + 16));
}

// Low bits to nibbles, the fifth to bit j of a word in front of them.
template <class Code>
void five_bits(Code code, std::byte* high, std::byte* low) {
  uint32_t fifth = 0;
  for (int j = 0; j < 16; ++j) {
    int a = code(j), c = code(j + 16);
    low[j] = two(a & 15, c & 15);
    fifth |= static_cast<uint32_t>(a >> 4) << j | static_cast<uint32_t>(c >> 4) << (j + 16);
  }
  std::memcpy(high, &fifth, sizeof fifth);
}

void q5_0(const float* x, std::byte* b) {
  float d = signed_largest(x) / -16, id = d != 0 ? 1 / d : 0;
  put_half(b, d);
  five_bits(
      [&](int j) { return std::min(31, static_cast<int>(static_cast<int8_t>(x[j] * id + 16.5f))); },
      b + 2, b + 6);
}

void q5_1(const float* x, std::byte* b) {
  auto [lo, hi] = std::minmax_element(x, x + 32);
  float low = *lo, d = (*hi - low) / 31, id = d != 0 ? 1 / d : 0;
  put_half(b, d);
  put_half(b + 2, low);
  five_bits([&](int j) { return static_cast<int>(static_cast<uint8_t>((x[j] - low) * id + 0.5f)); },
            b + 4, b + 8);
}

void q8_0(const float* x, std::byte* b) {
  float d = std::abs(signed_largest(x)) / 127, id = d != 0 ? 1 / d : 0;
  put_half(b, d);
  for (int j = 0; j < 32; ++j) b[2 + j] = static_cast<std::byte>(std::lround(x[j] * id));
}

template <DType kType>
void plain(const float* x, std::byte* b) {
  from_float(kType, x, 1, b);
}

// Grids first, then the nearest codes.
void searched(const GgmlType& type, const float* x, std::byte* b) {
  std::array<Grid, 16> grids;
  std::array<uint8_t, 256> codes{};
  Scheme scheme = Scheme::of_blocks(type);
  auto groups = static_cast<size_t>(type.block / scheme.group);
  fit_ggml_grids(type, x, nullptr, std::span(grids).first(groups));
  for (size_t j = 0; j < static_cast<size_t>(type.block); ++j) {
    const Grid& g = grids[j / static_cast<size_t>(scheme.group)];
    codes[j] = static_cast<uint8_t>(g.scale != 0 ? encode(x[j], g, scheme) : g.zero);
  }
  put_ggml_block(type, std::span(grids).first(groups), codes.data(), b);
}

// Those that do not search.
struct Quantizer {
  std::string_view name;
  void (*block)(const float* x, std::byte* out);
};
constexpr Quantizer kQuantizers[] = {
    {"F32", plain<DType::kF32>},
    {"F16", plain<DType::kF16>},
    {"BF16", plain<DType::kBF16>},
    {"Q4_0", q4_0},
    {"Q4_1", q4_1},
    {"Q5_0", q5_0},
    {"Q5_1", q5_1},
    {"Q8_0", q8_0},
};

const Quantizer* find(const GgmlType& type) {
  for (const Quantizer& q : kQuantizers)
    if (q.name == type.name) return &q;
  return nullptr;
}

}  // namespace

void ggml_quantize(const GgmlType& type, const float* x, int64_t count, std::byte* out) {
  const Quantizer* q = find(type);
  for (int64_t i = 0; i < count / type.block; ++i) {
    if (q)
      q->block(x + i * type.block, out + i * type.bytes);
    else
      searched(type, x + i * type.block, out + i * type.bytes);
  }
}

}  // namespace nibble
