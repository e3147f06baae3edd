// Quantized matrices as ggml's blocks of 32 without rounding: the same integers, the same scales.
#pragma once

#include "tensor/ggml_blocks.h"
#include "tensor/quantized.h"

namespace nibble {

// How much of a matrix a block type keeps.
enum class Kept : uint8_t {
  kAll,       // integers and scales
  kIntegers,  // Q4_1, Q5_1: the codes, while -zero * scale is rounded to float16
  kNothing,   // the values must be rounded anew
};
// W: (n, k), k a multiple of 32; reads every scale and zero point.
Kept kept_by(const GgmlType& type, const QuantizedMatrix& w);

// The smallest type that keeps all; null where none does.
const GgmlType* exact_ggml_type(const QuantizedMatrix& w);

// By the scheme alone: whether the type keeps all whatever the codes and zero points are, if the
// scales are float16 numbers.
bool promises_to_keep(const GgmlType& type, const Scheme& scheme, int64_t k);
// The smallest that does; null where none does.
const GgmlType* promised_ggml_type(const Scheme& scheme, int64_t k);

// Row `row` in blocks of a type that keeps it. out: k / 32 blocks.
void exact_ggml_row(const GgmlType& type, const QuantizedMatrix& w, int64_t row, std::byte* out);

}  // namespace nibble
