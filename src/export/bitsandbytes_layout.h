// bitsandbytes' tensors of one linear: four-bit codes in blocks of 64, or LLM.int8()'s rows.
// Source: bitsandbytes 0.50, functional.py (quantize_4bit, QuantState.as_dict, create_dynamic_map)
// and backends/default/ops.py.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "tensor/view.h"

namespace nibble {

inline constexpr int64_t kBnbBlock = 64;  // values that share an absmax
inline constexpr int64_t kBnbNestedBlock =
    256;  // absmaxes that share one, with double quantization

// MODULE.weight.quant_map: what the sixteen codes stand for, times the block's absmax.
std::span<const float> bnb_codes(bool nf4);
// MODULE.weight.nested_quant_map: 256 values in [-1, 1] of a dynamic exponent (Dettmers et al.,
// arXiv 2110.02861), ascending.
std::span<const float> bnb_dynamic_map();

// The largest magnitude of each block of `size`; the last may be short.
std::vector<float> block_absmax(std::span<const float> values, int64_t size);

// MODULE.weight uint8 (ceil(values / 2), 1): two codes a byte, the first in the high bits.
std::vector<std::byte> bnb_pack(std::span<const float> values, std::span<const float> absmax,
                                bool nf4);

// Double quantization of the absmaxes: less their mean, by blocks, to indices of the dynamic map.
struct NestedAbsmax {
  std::vector<std::byte> codes;  // MODULE.weight.absmax uint8
  std::vector<float> absmax;     // MODULE.weight.nested_absmax
  float offset = 0;
};
NestedAbsmax nest_absmax(std::span<const float> absmax);

// MODULE.weight int8 of LLM.int8(): round(127 w / row absmax). values: (n, k); absmax: (n).
std::vector<std::byte> bnb_rows(std::span<const float> values, std::span<const float> absmax);

}  // namespace nibble
