// Rows of a matrix as the bytes of an ONNX weight, which multiplies from the right: (k, n).
#pragma once

#include "export/onnx/graph.h"

namespace nibble {

// Fills one row of a matrix: its k elements.
using FillRow = std::function<void(int64_t row, std::byte* out)>;

// (n, k) as it is. row_bytes: what `fill` writes.
Status write_rows(int64_t n, int64_t row_bytes, const FillRow& fill, const ByteSink& sink);
// (n, k) turned to (k, n); elements of `size` bytes: 1, 2 or 4. With `nibbles` (of size 1) two
// neighbours then share a byte, the first its low half.
Status write_turned(int64_t n, int64_t k, int64_t size, bool nibbles, const FillRow& fill,
                    const ByteSink& sink);

// A vector of floats as a weight of its own.
OnnxWeight float_weight(const std::string& name, std::vector<int64_t> dims,
                        std::vector<float> values);

}  // namespace nibble
