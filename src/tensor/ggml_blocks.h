// The block types of GGUF files and their values as floats.
// Source: ggml-org/ggml, src/ggml-common.h and src/ggml-quants.c (dequantize_row_*); the gguf
// package's quants.py, whose floats these are bit for bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace nibble {

struct GgmlType {
  uint32_t id;  // in the file
  std::string_view name;
  int64_t block;  // elements
  int64_t bytes;  // of a block
  // `count` blocks to floats. src may be unaligned.
  void (*to_float)(const std::byte* src, int64_t count, float* out);
};

// Those that nibble reads.
std::span<const GgmlType> ggml_types();
// Null where the type is unknown.
const GgmlType* find_ggml_type(uint32_t id);
const GgmlType* find_ggml_type(std::string_view name);
// The sixteen values of IQ4_NL and IQ4_XS, ascending, times the block's scale.
std::span<const int8_t> iq4_values();
// ggml's name of any type that it ever had, for messages; "" where there is none.
std::string_view ggml_type_name(uint32_t id);

}  // namespace nibble
