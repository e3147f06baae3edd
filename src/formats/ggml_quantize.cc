#include "formats/ggml_quantize.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <utility>

#include "formats/ggml_fit.h"
#include "tensor/dtype.h"

namespace nibble {
namespace {

// Of 32 values the one of largest magnitude, the first of equals.
float signed_largest(const float* x) {
  const float *lo = std::min_element(x, x + 32), *hi = std::max_element(x, x + 32);
  return -*lo > *hi || (-*lo == *hi && lo < hi) ? *lo : *hi;
}

// Codes of 32 values, and the grid that they are on.
using Rounding = GgmlBase (*)(const float* x, uint8_t* codes);

int8_t byte_of(float v) { return static_cast<int8_t>(v); }

// Symmetric: the largest magnitude becomes the lowest code.
template <int kMost>
GgmlBase symmetric(const float* x, uint8_t* codes) {
  constexpr int kHalf = (kMost + 1) / 2;
  float d = signed_largest(x) / -kHalf, id = d != 0 ? 1 / d : 0;
  for (int j = 0; j < 32; ++j)
    codes[j] = static_cast<uint8_t>(
        std::min(kMost, static_cast<int>(byte_of(x[j] * id + static_cast<float>(kHalf) + 0.5f))));
  return {d, 0};
}

template <int kMost>
GgmlBase affine(const float* x, uint8_t* codes) {
  auto [lo, hi] = std::minmax_element(x, x + 32);
  float low = *lo, d = (*hi - low) / kMost, id = d != 0 ? 1 / d : 0;
  for (int j = 0; j < 32; ++j)
    codes[j] =
        static_cast<uint8_t>(std::min(kMost, static_cast<int>(byte_of((x[j] - low) * id + 0.5f))));
  return {d, -low};
}

GgmlBase q8_0(const float* x, uint8_t* codes) {
  float d = std::abs(signed_largest(x)) / 127, id = d != 0 ? 1 / d : 0;
  for (int j = 0; j < 32; ++j) codes[j] = static_cast<uint8_t>(std::lround(x[j] * id) + 128);
  return {d, 0};
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
using NamedRounding = std::pair<std::string_view, Rounding>;
constexpr NamedRounding kRoundings[] = {
    {"Q4_0", symmetric<15>}, {"Q4_1", affine<15>}, {"Q5_0", symmetric<31>},
    {"Q5_1", affine<31>},    {"Q8_0", q8_0},
};

void rounded(Rounding rounding, const GgmlType& type, const float* x, std::byte* b) {
  std::array<uint8_t, 32> codes{};
  Grid grid = ggml_grid_of(*ggml_grids(type), rounding(x, codes.data()), 1, 1);
  put_ggml_block(type, std::span(&grid, 1), codes.data(), b);
}

}  // namespace

void ggml_quantize(const GgmlType& type, const float* x, int64_t count, std::byte* out) {
  // What is no grid is called as safetensors calls it.
  if (!ggml_grids(type)) return from_float(*dtype_from_name(type.name), x, count, out);
  const auto* simple = std::ranges::find(kRoundings, type.name, &NamedRounding::first);
  for (int64_t i = 0; i < count / type.block; ++i) {
    const float* block = x + i * type.block;
    if (simple != std::end(kRoundings))
      rounded(simple->second, type, block, out + i * type.bytes);
    else
      searched(type, block, out + i * type.bytes);
  }
}

}  // namespace nibble
