// Linears whose weights are floats and whose input is rounded to 8 bits, as the runtimes of block
// formats and of full-integer graphs round it. Source: ggml-org/ggml, src/ggml-cpu/ggml-cpu.c
// (vec_dot_type), src/ggml-quants.c (quantize_row_q8_0, _q8_K).
#pragma once

#include "model/linear.h"
#include "tensor/linear_grids.h"

namespace nibble {

// rows of `rule`'s int8 values, as floats: (rows, k). A scale for each `block` columns, absmax /
// 127; for each row where the rule is per token; the rule's own where it is static. Not a number
// becomes -127 scales.
std::vector<float> round_rows(const float* x, int64_t rows, int64_t k, const InputRule& rule,
                              int64_t block);

// `linear` behind rounded inputs.
std::unique_ptr<Linear> make_rounded_linear(std::unique_ptr<Linear> linear, InputRule rule,
                                            int64_t block);

// The values of the grid's codes 0 to 255 nearest to x: (count) to out. Not a number becomes the
// least.
void round_to_grid(const float* x, int64_t count, const Grid& grid, float* out);

// `linear` between integers: what enters and what leaves it, its bias added, is rounded to its
// grid. What the products of LiteRT's full-integer operators mean (Jacob et al., arXiv 1712.05877,
// section 2.2), but for sums in float.
std::unique_ptr<Linear> make_grid_linear(std::unique_ptr<Linear> linear, const LinearGrids& grids);

}  // namespace nibble
