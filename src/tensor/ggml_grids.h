// ggml's block types as grids: a block's scales and codes apart, and its bytes of such.
// Source: ggml-org/ggml, src/ggml-common.h (block_q4_0 ... block_iq4_xs).
#pragma once

#include <array>
#include <span>

#include "tensor/ggml_blocks.h"
#include "tensor/grid.h"

namespace nibble {

// Columns of a group share a Grid; groups of a block share two float16 numbers d and m:
// scale = d * multiple, low = m * low_multiple.
struct GgmlGrids {
  int bits = 0;       // of a code
  int64_t group = 0;  // columns
  int zero = 0;       // of every grid
  bool low = false;   // has minima; elsewhere Grid::low is 0
  const int8_t* levels = nullptr;
  int least = 1, most = 1;  // multiples; 1 to 1: d is the scale itself
  int most_low = 0;         // low multiples from 0 on, with minima; 1: m is the low itself

  bool two_levels() const { return most > 1; }
};

// Null for a type that is no grid (F32, F16, BF16).
const GgmlGrids* ggml_grids(const GgmlType& type);

// block: the bytes of one.
Grid ggml_grid(const GgmlType& type, const std::byte* block, int64_t group);
// The codes of `count` blocks, as Grid's are. codes: count * type.block.
void ggml_codes(const GgmlType& type, const std::byte* blocks, int64_t count, uint8_t* codes);
// grids: of a block's groups, whose d and m are float16 numbers. codes: type.block.
void put_ggml_block(const GgmlType& type, std::span<const Grid> grids, const uint8_t* codes,
                    std::byte* block);
// `count` blocks of a type of one level. d and, where the type has them, m: (count), as the blocks
// store them; m is a grid's low with its sign turned.
void put_ggml_blocks(const GgmlType& type, int64_t count, const uint16_t* d, const uint16_t* m,
                     const uint8_t* codes, std::byte* blocks);

// The d and m that the grids of a block share; 0 where every multiple is.
struct GgmlBase {
  float d = 0, m = 0;
};
GgmlBase ggml_base(std::span<const Grid> grids);
// As float16 holds them.
GgmlBase ggml_stored(const GgmlBase& base);
// The grid of these multiples.
Grid ggml_grid_of(const GgmlGrids& form, const GgmlBase& base, int multiple, int low_multiple);

}  // namespace nibble
