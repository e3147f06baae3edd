#include "kernels/rows.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/threads.h"

namespace nibble {
namespace {

// Every `width`-th run of the group's codes is this row's.
template <int64_t kRun>
void interleave(const int8_t* row, int64_t columns, int64_t width, int8_t* codes) {
  for (int64_t i = 0; i < columns; i += kRun) std::memcpy(codes + i * width, row + i, kRun);
}

void put_in_tiles(const int8_t* codes, const int32_t* multipliers, int64_t row, int64_t tile_rows,
                  Int8Rows& out) {
  std::copy_n(multipliers, out.blocks, out.multipliers.data() + row * out.blocks);
  int64_t tile = row / tile_rows * out.blocks, in_tile = row % tile_rows;
  for (int64_t b = 0; b < out.blocks; ++b)
    std::memcpy(out.tiles.data() + ((tile + b) * tile_rows + in_tile) * kBlockCols,
                codes + b * kBlockCols, kBlockCols);
}

// KernelTable::quantize_row for a scale that is given: what lies beyond it saturates.
float quantize_static(const float* x, int64_t k, float scale, int8_t* codes, int32_t* multipliers,
                      int32_t* sums) {
  for (int64_t first = 0, b = 0; first < k; first += kBlockCols, ++b) {
    int32_t sum = 0;
    for (int64_t i = first; i < first + kBlockCols; ++i) {
      float a = i < k ? std::nearbyintf(x[i] / scale) : 0;
      a = a > -127 ? a < 127 ? a : 127 : -127;  // not a number becomes -127
      codes[i] = static_cast<int8_t>(a);
      sum += codes[i];
    }
    multipliers[b] = 1;
    sums[b] = sum;
  }
  return scale;
}

// `given` is 0 where each row finds its own.
void quantize_group(const KernelTable& table, const float* x, int64_t group, bool per_token,
                    float given, Int8Rows& out) {
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
    const float* row = x + (first + r) * out.k;
    float scale = given > 0 ? quantize_static(row, out.k, given, row_codes.data(),
                                              row_multipliers.data(), row_sums.data())
                            : table.quantize_row(row, out.k, per_token, row_codes.data(),
                                                 row_multipliers.data(), row_sums.data());
    out.scales[static_cast<size_t>(first + r)] = scale;
    if (table.activation_run == 4)
      interleave<4>(row_codes.data(), padded, width, codes + r * 4);
    else
      interleave<8>(row_codes.data(), padded, width, codes + r * 8);
    if (!out.tiles.empty())
      put_in_tiles(row_codes.data(), row_multipliers.data(), first + r, table.tile_rows, out);
    for (int64_t b = 0; b < out.blocks; ++b) {
      pairs[b * width + r] =
          static_cast<uint32_t>(row_multipliers[static_cast<size_t>(b)]) * 0x10001u;
      sums[b * width + r] = row_sums[static_cast<size_t>(b)];
    }
  }
}

}  // namespace

const int32_t* Int8Rows::terms(int64_t blocks_per_segment, int factor) {
  auto fill = [&](std::vector<int32_t>& out) {
    int64_t segments = (blocks + blocks_per_segment - 1) / blocks_per_segment;
    out.assign(static_cast<size_t>(rows * segments), 0);
    for (int64_t first = 0; first < rows; first += kRowGroup) {
      int64_t w = width(first / kRowGroup);
      const int32_t* from = sums.data() + first * blocks;
      int32_t* to = out.data() + first * segments;
      for (int64_t b = 0; b < blocks; ++b)
        for (int64_t r = 0; r < w; ++r)
          to[b / blocks_per_segment * w + r] += factor * from[b * w + r];
    }
  };
  return terms_.get({blocks_per_segment, factor}, fill).data();
}

std::shared_ptr<Int8Rows> quantize_rows_with(const KernelTable& table, const float* x, int64_t rows,
                                             int64_t k, Activations mode, float scale,
                                             std::shared_ptr<Int8Rows> old) {
  auto out = old && old.use_count() == 1 ? std::move(old) : std::make_shared<Int8Rows>();
  out->rows = rows;
  out->k = k;
  out->blocks = (k + kBlockCols - 1) / kBlockCols;
  out->codes.resize(static_cast<size_t>(rows * out->blocks * kBlockCols));
  out->pairs.resize(static_cast<size_t>(rows * out->blocks));
  out->sums.resize(out->pairs.size());
  out->scales.resize(static_cast<size_t>(rows));
  out->forget_terms();
  out->tiles.clear();
  if (table.tile_rows > 0 && rows >= table.gemm_from) {
    int64_t whole = (rows + table.tile_rows - 1) / table.tile_rows * table.tile_rows;
    out->tiles.resize(static_cast<size_t>(whole * out->blocks * kBlockCols));
    out->multipliers.resize(static_cast<size_t>(rows * out->blocks));
  }
  int64_t groups = (rows + kRowGroup - 1) / kRowGroup;
  parallel_for(groups, [&](int64_t g) {
    quantize_group(table, x, g, mode == Activations::kInt8Token,
                   mode == Activations::kInt8Static ? scale : 0, *out);
  });
  return out;
}

}  // namespace nibble
