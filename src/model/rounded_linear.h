// A linear whose weights are floats and whose input is rounded to int8, as the runtimes of block
// formats round it. Source: ggml-org/ggml, src/ggml-cpu/ggml-cpu.c (vec_dot_type),
// src/ggml-quants.c (quantize_row_q8_0, _q8_K).
#pragma once

#include "model/linear.h"

namespace nibble {

// rows of `rule`'s int8 values, as floats: (rows, k). A scale for each `block` columns, absmax /
// 127; for each row where the rule is per token; the rule's own where it is static. Not a number
// becomes -127 scales.
std::vector<float> round_rows(const float* x, int64_t rows, int64_t k, const InputRule& rule,
                              int64_t block);

// `linear` behind rounded inputs.
std::unique_ptr<Linear> make_rounded_linear(std::unique_ptr<Linear> linear, InputRule rule,
                                            int64_t block);

}  // namespace nibble
