// The grids of one of ggml's blocks for given values: each group's is searched for the least
// weighted squared error, then all are rounded to what the block's two numbers allow.
#pragma once

#include "tensor/ggml_grids.h"

namespace nibble {

// x, weights: type.block of each; weights null: all ones. out: of type.block / group groups, whose
// d and m are float16 numbers (infinite where x is too large for them).
void fit_ggml_grids(const GgmlType& type, const float* x, const float* weights,
                    std::span<Grid> out);

}  // namespace nibble
