// Int8 activations, interleaved in groups of four rows for the tiles.
#pragma once

#include <vector>

#include "base/memo.h"
#include "kernels/kernels.h"
#include "kernels/pack.h"
#include "kernels/table.h"

namespace nibble {

// Row group j of `width(j)` rows starts at element 4 j (elements of one row) of each array.
struct Int8Rows {
  int64_t rows = 0, k = 0, blocks = 0;
  std::vector<int8_t> codes;    // a group: Product::a; empty where there are tiles
  std::vector<uint32_t> pairs;  // a group: (blocks, width), multipliers in both 16-bit halves; so
  std::vector<int32_t> sums;    // a group: (blocks, width), sums of a block's codes * multiplier
  std::vector<float> scales;    // (rows)
  AlignedBuffer tiles;          // Product::tiles

  // Product::term, which may be read up to a whole group's width: sums of segments of so many
  // blocks, times factor. Made when first asked for.
  const int32_t* terms(int64_t blocks_per_segment, int factor);
  void forget_terms() { terms_.forget(); }

  int64_t width(int64_t group) const {
    int64_t left = rows - group * kRowGroup;
    return left < kRowGroup ? left : kRowGroup;
  }

 private:
  Memo<std::pair<int64_t, int>, std::vector<int32_t>> terms_;
};

// quantize_rows for any table.
std::shared_ptr<Int8Rows> quantize_rows_with(const KernelTable& table, const float* x, int64_t rows,
                                             int64_t k, Activations mode, float scale = 0,
                                             std::shared_ptr<Int8Rows> old = {});

}  // namespace nibble
