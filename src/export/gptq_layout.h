// GPTQ's tensors of one linear (n, k), G groups a row, b bits.
// Source: ModelCloud/GPTQModel 7.7, gptqmodel/nn_modules/qlinear/__init__.py and utils/model.py.
#pragma once

#include "export/integer_layout.h"

namespace nibble {

// MODULE.qweight int32 (k b / 32, n): of a column n, its codes along k, dense, low bits first.
TensorView gptq_codes(const IntegerRows& rows);
// MODULE.qzeros int32 (G, n b / 32): zero points less `offset` along n, dense, low bits first.
// offset: 1 in version 1, 0 in version 2.
TensorView gptq_zeros(const IntegerRows& rows, int offset);
// MODULE.g_idx int32 (k): the group of each column.
TensorView gptq_group_index(const IntegerRows& rows);

}  // namespace nibble
