// GPTQ: rounds column by column and lets the columns still open absorb each error.
// Source: Frantar et al., arXiv 2210.17323; static groups with activation order as in its code;
// group-aware reordering (GAR) as in github.com/ModelCloud/GPTQModel. The letters are the paper's.
#pragma once

#include <span>

#include "quant/methods/method.h"

namespace nibble {

// Grids are searched under the activations' weights from the matrices as given, then each column is
// rounded in options.order. Matrices whose H cannot be factorised are rounded to nearest; the notes
// say so.
MethodResult round_by_gptq(std::span<const FloatMatrix> matrices, const InputStatistics& statistics,
                           const MethodOptions& options);

}  // namespace nibble
