#include "kernels/rows.h"

#include <cstring>

#include "base/threads.h"

namespace nibble {
namespace {

// Items of one row to their places among `width` rows.
template <class T>
void interleave(const T* in, int64_t count, int64_t item, int64_t width, T* out) {
  for (int64_t i = 0; i < count; ++i)
    std::memcpy(out + i * width * item, in + i * item, static_cast<size_t>(item) * sizeof(T));
}

void quantize_group(const KernelTable& table, const float* x, int64_t group, Int8Rows& out) {
  int64_t padded = out.blocks * kBlockCols, scales = out.per_token ? 1 : out.blocks;
  int64_t width = out.width(group), first = group * kRowGroup;
  int8_t* codes = out.codes.data() + first * padded;
  float* scale = out.scales.data() + first * scales;
  int32_t* sum = out.sums.data() + first * out.blocks;
  if (width == 1) {
    table.quantize_row(x + first * out.k, out.k, out.per_token, codes, scale, sum);
    return;
  }
  thread_local std::vector<int8_t> row_codes;
  thread_local std::vector<float> row_scales;
  thread_local std::vector<int32_t> row_sums;
  row_codes.resize(static_cast<size_t>(padded));
  row_scales.resize(static_cast<size_t>(scales));
  row_sums.resize(static_cast<size_t>(out.blocks));
  for (int64_t r = 0; r < width; ++r) {
    table.quantize_row(x + (first + r) * out.k, out.k, out.per_token, row_codes.data(),
                       row_scales.data(), row_sums.data());
    interleave(row_codes.data(), padded / 4, 4, width, codes + 4 * r);
    interleave(row_scales.data(), scales, 1, width, scale + r);
    interleave(row_sums.data(), out.blocks, 1, width, sum + r);
  }
}

}  // namespace

std::shared_ptr<const Int8Rows> quantize_rows_with(const KernelTable& table, const float* x,
                                                   int64_t rows, int64_t k, Activations mode) {
  auto out = std::make_shared<Int8Rows>();
  out->rows = rows;
  out->k = k;
  out->blocks = (k + kBlockCols - 1) / kBlockCols;
  out->per_token = mode == Activations::kInt8Token;
  out->codes.resize(static_cast<size_t>(rows * out->blocks * kBlockCols));
  out->scales.resize(static_cast<size_t>(out->per_token ? rows : rows * out->blocks));
  out->sums.resize(static_cast<size_t>(rows * out->blocks));
  int64_t groups = (rows + kRowGroup - 1) / kRowGroup;
  parallel_for(groups, [&](int64_t g) { quantize_group(table, x, g, *out); });
  return out;
}

}  // namespace nibble
