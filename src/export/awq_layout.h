// AWQ's GEMM tensors of one linear (n, k) of 4 bits, G groups a row: words along the outputs, eight
// of them to a word in an order of their own.
// Source: ModelCloud/GPTQModel 7.7, gptqmodel/nn_modules/qlinear/gemm_awq.py; compressed-tensors'
// converters/autoawq.py.
#pragma once

#include "export/integer_layout.h"

namespace nibble {

// MODULE.qweight int32 (k, n / 8).
TensorView awq_codes(const IntegerRows& rows);
// MODULE.qzeros int32 (G, n / 8).
TensorView awq_zeros(const IntegerRows& rows);

}  // namespace nibble
