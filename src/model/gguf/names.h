// What GGUF calls a decoder's tensors and how it orders their rows: read (source.cc) and written
// (export/gguf_tensors.cc).
// Source: ggml-org/llama.cpp, gguf-py/gguf/constants.py (TENSOR_NAMES), conversion/falcon.py.
#pragma once

#include <string>

#include "model/config.h"
#include "model/gguf/row_order.h"
#include "model/names.h"

namespace nibble {

// Behind "blk.N.", without ".weight".
const char* gguf_linear_name(Role role);
// `two_norms`: Falcon with a norm for attention and one for the MLP calls the latter attn_norm.
const char* gguf_norm_name(NormPlace place, bool two_norms);

// Rows of a projection; `pairs` as GgufFamily's.
RowOrder gguf_row_order(const DecoderConfig& c, bool pairs, Role role);

}  // namespace nibble
