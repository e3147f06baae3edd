// A block of 256 floats to ggml's two-level grids, and 32 floats to IQ4_NL: each group's grid is
// searched for the least squared error, rounded to the block's own grid, and the codes chosen then.
// Layouts: ggml_blocks.h.
#pragma once

#include <cstddef>

namespace nibble {

void quantize_q2_k(const float* x, std::byte* out);
void quantize_q3_k(const float* x, std::byte* out);
void quantize_q4_k(const float* x, std::byte* out);
void quantize_q5_k(const float* x, std::byte* out);
void quantize_q6_k(const float* x, std::byte* out);
void quantize_iq4_nl(const float* x, std::byte* out);

}  // namespace nibble
