#include "kernels/rows.h"

#include <cstring>

#include "base/threads.h"

namespace nibble {
namespace {

// Every `width`-th run of the group's codes is this row's.
template <int64_t kRun>
void interleave(const int8_t* row, int64_t columns, int64_t width, int8_t* codes) {
  for (int64_t i = 0; i < columns; i += kRun) std::memcpy(codes + i * width, row + i, kRun);
}

void quantize_group(const KernelTable& table, const float* x, int64_t group, bool per_token,
                    Int8Rows& out) {
  int64_t padded = out.blocks * kBlockCols, width = out.width(group), first = group * kRowGroup;
  int8_t* codes = out.codes.data() + first * padded;
  uint32_t* pairs = out.pairs.data() + first * out.blocks;
  int32_t* sums = out.sums.data() + first * out.blocks;
  thread_local std::vector<int8_t> row_codes;
  thread_local std::vector<int32_t> row_multipliers, row_sums;
  row_codes.resize(static_cast<size_t>(padded));
  row_multipliers.resize(static_cast<size_t>(out.blocks));
  row_sums.resize(static_cast<size_t>(out.blocks));
  for (int64_t r = 0; r < width; ++r) {
    float scale = table.quantize_row(x + (first + r) * out.k, out.k, per_token, row_codes.data(),
                                     row_multipliers.data(), row_sums.data());
    out.scales[static_cast<size_t>(first + r)] = scale;
    if (table.activation_run == 4)
      interleave<4>(row_codes.data(), padded, width, codes + r * 4);
    else
      interleave<8>(row_codes.data(), padded, width, codes + r * 8);
    for (int64_t b = 0; b < out.blocks; ++b) {
      pairs[b * width + r] =
          static_cast<uint32_t>(row_multipliers[static_cast<size_t>(b)]) * 0x10001u;
      sums[b * width + r] = row_sums[static_cast<size_t>(b)];
    }
  }
}

}  // namespace

std::shared_ptr<const Int8Rows> quantize_rows_with(const KernelTable& table, const float* x,
                                                   int64_t rows, int64_t k, Activations mode) {
  auto out = std::make_shared<Int8Rows>();
  out->rows = rows;
  out->k = k;
  out->blocks = (k + kBlockCols - 1) / kBlockCols;
  out->codes.resize(static_cast<size_t>(rows * out->blocks * kBlockCols));
  out->pairs.resize(static_cast<size_t>(rows * out->blocks));
  out->sums.resize(out->pairs.size());
  out->scales.resize(static_cast<size_t>(rows));
  int64_t groups = (rows + kRowGroup - 1) / kRowGroup;
  parallel_for(groups, [&](int64_t g) {
    quantize_group(table, x, g, mode == Activations::kInt8Token, *out);
  });
  return out;
}

}  // namespace nibble
