// AWQ's GEMM tensors of one linear (n, k) of 4 bits, G groups a row: words along the outputs, eight
// of them to a word in an order of their own.
// Source: ModelCloud/GPTQModel 7.7, gptqmodel/nn_modules/qlinear/gemm_awq.py; compressed-tensors'
// converters/autoawq.py.
#pragma once

#include "export/integer_layout.h"

namespace nibble {

// Nibble i of a word (low bits first) holds the output kAwqOrder[i] of its eight.
inline constexpr std::array kAwqOrder = {0, 2, 4, 6, 1, 3, 5, 7};

// MODULE.qweight int32 (k, n / 8).
TensorView awq_codes(const IntegerRows& rows);
// MODULE.qzeros int32 (G, n / 8).
TensorView awq_zeros(const IntegerRows& rows);

}  // namespace nibble
