// The meaning of the kernels in portable C++; every other table must give these bits.
#include <cmath>
#include <vector>

#include "kernels/table.h"
#include "tensor/dtype.h"

namespace nibble {
namespace {

// The code of row r, column k of a panel as stored: see Panels.
int stored(const Panels& p, const uint8_t* panel, int64_t r, int64_t k) {
  int64_t stride = 4 * p.panel_rows, g = k % kBlockCols / 4;
  const uint8_t* lane = panel + k / kBlockCols * p.block_bytes + 4 * r + k % 4;
  auto v = [&](int64_t i) { return int{lane[i * stride]}; };
  switch (p.layout) {
    case CodeLayout::kNibble:
      return v(g % 4) >> g / 4 * 4 & 15;
    case CodeLayout::kTwoBit:
      return v(g / 4) >> g % 4 * 2 & 3;
    case CodeLayout::kThreeBit:
      if (g < 6) return v(g / 2) >> g % 2 * 3 & 7;
      return v(g - 6) >> 6 | (v(2) >> g & 1) << 2;
    case CodeLayout::kByte:
      break;
  }
  return static_cast<int8_t>(lane[g * stride]);
}

float weight_scale(const Panels& p, const uint8_t* panel, int64_t r, int64_t group) {
  int64_t i = group * p.panel_rows + r;
  auto type = p.scales == ScaleLayout::kF16    ? DType::kF16
              : p.scales == ScaleLayout::kBF16 ? DType::kBF16
                                               : DType::kF32;
  float scale;
  auto* at = reinterpret_cast<const std::byte*>(panel + p.scale_offset);
  to_float(type, at + i * dtype_size(type), 1, &scale);
  return scale;
}

// One weight row less its zero points, and one scale for each group.
struct Row {
  std::vector<int16_t> values;
  std::vector<float> scales;
};

void unpack_row(const Panels& p, int64_t row, Row& out) {
  const uint8_t* panel = p.data + row / p.panel_rows * p.panel_bytes;
  int64_t r = row % p.panel_rows, columns = p.blocks_per_group * kBlockCols;
  out.values.resize(static_cast<size_t>(p.k));
  out.scales.resize(static_cast<size_t>(p.groups));
  for (int64_t g = 0; g < p.groups; ++g) {
    out.scales[static_cast<size_t>(g)] = weight_scale(p, panel, r, g);
    int zero = p.zero;
    if (p.group_zeros) zero = static_cast<int8_t>(panel[p.zero_offset + g * p.panel_rows + r]);
    for (int64_t k = g * columns, end = std::min(p.k, k + columns); k < end; ++k)
      out.values[static_cast<size_t>(k)] = static_cast<int16_t>(stored(p, panel, r, k) - zero);
  }
}

// Row `column` of the activations times one weight row.
float dot(const Product& p, const Row& w, int64_t column) {
  int64_t group = column / kRowGroup, width = std::min(kRowGroup, p.m - group * kRowGroup);
  const int8_t* a = p.a + group * kRowGroup * p.w.blocks * kBlockCols + column % kRowGroup * 4;
  const uint32_t* pairs = p.pairs + group * kRowGroup * p.w.blocks + column % kRowGroup;
  float acc = 0;
  for (int64_t s = 0; s < p.segments; ++s) {
    int64_t first = s * p.blocks_per_segment;
    int64_t last = std::min(p.w.blocks, first + p.blocks_per_segment);
    int32_t d = 0;
    for (int64_t b = first; b < last; ++b) {
      int32_t sum = 0;
      for (int64_t k = b * kBlockCols; k < std::min(p.w.k, (b + 1) * kBlockCols); ++k)
        sum += w.values[static_cast<size_t>(k)] * a[k / 4 * 4 * width + k % 4];
      d += sum * static_cast<int32_t>(pairs[b * width] & 0xffffu);
    }
    acc = std::fma(static_cast<float>(d),
                   w.scales[static_cast<size_t>(first / p.w.blocks_per_group)], acc);
  }
  return acc * p.scale[column];
}

void gemv(const Product& p, int64_t first, int64_t last) {
  Row row;
  int64_t end = std::min(p.w.n, last * p.w.panel_rows);
  for (int64_t n = first * p.w.panel_rows; n < end; ++n) {
    unpack_row(p.w, n, row);
    for (int64_t m = 0; m < p.m; ++m) {
      float y = dot(p, row, m);
      p.y[m * p.ldy + n] = p.bias ? y + p.bias[n] : y;
    }
  }
}

// Not a number counts as nothing.
float largest(const float* x, int64_t count) {
  float most = 0;
  for (int64_t i = 0; i < count; ++i) most = std::fabs(x[i]) > most ? std::fabs(x[i]) : most;
  return most;
}

float quantize_row(const float* x, int64_t k, bool per_token, int8_t* codes, int32_t* multipliers,
                   int32_t* sums) {
  float scale = largest(x, k) / 127;
  if (!per_token) scale *= 1.f / kTopMultiplier;
  if (scale == 0) scale = 1;
  for (int64_t b = 0; b * kBlockCols < k; ++b) {
    int64_t begin = b * kBlockCols, count = std::min(kBlockCols, k - begin);
    float wanted = per_token ? 1 : std::ceil(largest(x + begin, count) / (127 * scale));
    wanted = wanted > 1 ? wanted : 1;
    float m = wanted < kTopMultiplier ? wanted : kTopMultiplier;
    int32_t sum = 0;
    for (int64_t i = 0; i < kBlockCols; ++i) {
      float q = i < count ? std::nearbyintf(x[begin + i] / (scale * m)) : 0;
      q = q > -127 ? q : -127;
      codes[begin + i] = static_cast<int8_t>(q < 127 ? q : 127);
      sum += codes[begin + i];
    }
    multipliers[b] = static_cast<int32_t>(m);
    sums[b] = sum * multipliers[b];
  }
  return scale;
}

}  // namespace

extern const FloatOps float_ops_reference;
extern const KernelTable kernels_reference;
const KernelTable kernels_reference = {
    .name = "reference",
    .needs = "nothing",
    .supported = [](const CpuFeatures&) { return true; },
    .panel_rows = 8,
    .quantize_row = quantize_row,
    .gemv = gemv,
    .gemm = nullptr,
    .gemm_scratch = nullptr,
    .gemm_panels = 1,
    .gemm_from = 0,
    .multiply_registers = nullptr,
    .floats = &float_ops_reference,
};

}  // namespace nibble
