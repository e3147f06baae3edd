// Floats to the blocks of ggml_blocks.h: plain rounding, without calibration.
// Source: ggml-org/ggml, src/ggml-quants.c (quantize_row_*_ref, whose bytes Q4_0 to Q8_0 are; the
// others search their scales otherwise).
#pragma once

#include "tensor/ggml_blocks.h"

namespace nibble {

// x: count floats, whole blocks of the type. out: their bytes. Every value is finite; scales that
// float16 cannot hold come out infinite (ggml_scale_limit).
void ggml_quantize(const GgmlType& type, const float* x, int64_t count, std::byte* out);

}  // namespace nibble
