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

// Bytes of a block of all rows of a tile.
int64_t tile_bytes(const KernelTable& table) { return table.tile_rows * (kBlockCols + 4); }

void put_in_tiles(const KernelTable& table, const int8_t* codes, const int32_t* multipliers,
                  int64_t row, Int8Rows& out) {
  const int64_t in_tile = row % table.tile_rows;
  uint8_t* to = out.tiles.data() + row / table.tile_rows * out.blocks * tile_bytes(table);
  for (int64_t b = 0; b < out.blocks; ++b, to += tile_bytes(table)) {
    std::memcpy(to + in_tile * kBlockCols, codes + b * kBlockCols, kBlockCols);
    std::memcpy(to + table.tile_rows * kBlockCols + in_tile * 4, multipliers + b, 4);
  }
}

// The missing rows of the last tile become zeros.
void make_tiles(const KernelTable& table, Int8Rows& out) {
  const int64_t whole = out.blocks * tile_bytes(table);
  const int64_t bytes = (out.rows + table.tile_rows - 1) / table.tile_rows * whole;
  if (out.tiles.size() < bytes) out.tiles = AlignedBuffer((bytes + 127) / 128 * 128);
  if (out.rows % table.tile_rows != 0)
    std::memset(out.tiles.data() + bytes - whole, 0, static_cast<size_t>(whole));
}

void put_in_group(const KernelTable& table, const int8_t* codes, const int32_t* multipliers,
                  int64_t row, Int8Rows& out) {
  const int64_t group = row / kRowGroup, first = group * kRowGroup, r = row - first;
  const int64_t width = out.width(group), padded = out.blocks * kBlockCols;
  int8_t* to = out.codes.data() + first * padded;
  uint32_t* pairs = out.pairs.data() + first * out.blocks;
  if (table.activation_run == 4)
    interleave<4>(codes, padded, width, to + r * 4);
  else
    interleave<8>(codes, padded, width, to + r * 8);
  for (int64_t b = 0; b < out.blocks; ++b)
    pairs[b * width + r] = static_cast<uint32_t>(multipliers[b]) * 0x10001u;
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
                    float given, bool in_tiles, Int8Rows& out) {
  int64_t width = out.width(group), first = group * kRowGroup;
  int32_t* sums = out.sums.data() + first * out.blocks;
  thread_local std::vector<int8_t> codes;
  thread_local std::vector<int32_t> multipliers, row_sums;
  codes.resize(static_cast<size_t>(out.blocks * kBlockCols));
  multipliers.resize(static_cast<size_t>(out.blocks));
  row_sums.resize(static_cast<size_t>(out.blocks));
  for (int64_t r = 0; r < width; ++r) {
    const float* row = x + (first + r) * out.k;
    out.scales[static_cast<size_t>(first + r)] =
        given > 0
            ? quantize_static(row, out.k, given, codes.data(), multipliers.data(), row_sums.data())
            : table.quantize_row(row, out.k, per_token, codes.data(), multipliers.data(),
                                 row_sums.data());
    if (in_tiles)
      put_in_tiles(table, codes.data(), multipliers.data(), first + r, out);
    else
      put_in_group(table, codes.data(), multipliers.data(), first + r, out);
    for (int64_t b = 0; b < out.blocks; ++b) sums[b * width + r] = row_sums[static_cast<size_t>(b)];
  }
}

}  // namespace

const int32_t* Int8Rows::terms(int64_t blocks_per_segment, int factor) {
  auto fill = [&](std::vector<int32_t>& out) {
    int64_t segments = (blocks + blocks_per_segment - 1) / blocks_per_segment;
    out.assign(static_cast<size_t>(rows * segments + kRowGroup), 0);
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
  const bool in_tiles = table.tile_rows > 0 && rows >= table.gemm_from;
  if (in_tiles) {
    out->codes.clear();
    out->pairs.clear();
    make_tiles(table, *out);
  } else {
    out->codes.resize(static_cast<size_t>(rows * out->blocks * kBlockCols));
    out->pairs.resize(static_cast<size_t>(rows * out->blocks));
  }
  out->sums.resize(static_cast<size_t>(rows * out->blocks));
  out->scales.resize(static_cast<size_t>(rows));
  out->forget_terms();
  int64_t groups = (rows + kRowGroup - 1) / kRowGroup;
  parallel_for(groups, [&](int64_t g) {
    quantize_group(table, x, g, mode == Activations::kInt8Token,
                   mode == Activations::kInt8Static ? scale : 0, in_tiles, *out);
  });
  return out;
}

}  // namespace nibble
