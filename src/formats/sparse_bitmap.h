// Nibble's own form of a sparse quantized matrix: a bit a weight says where the kept codes are, and
// only those are stored. docs/FORMATS.md has the layout.
#pragma once

#include <string>
#include <vector>

#include "formats/checkpoint.h"
#include "tensor/quantized.h"

namespace nibble {

inline constexpr const char* kBitmapPart = ".weight_bitmap";
inline constexpr const char* kKeptPart = ".weight_kept";

// Puts MODULE.weight_bitmap and MODULE.weight_kept in the place of the dense codes among the
// tensors that to_compressed_tensors gave of `w`, if they take fewer bytes.
void use_bitmap(const std::string& module, const QuantizedMatrix& w,
                std::vector<NamedTensor>& tensors);

// The dense codes, QuantizedMatrix::row_bytes a row, that a module's bitmap and kept codes stand
// for. zeros: (n, groups), one, or empty, as the matrix has them. Checks shapes, the count of kept
// codes against the bitmap's bits, and that no bit lies behind the last column.
Result<TensorView> dense_codes(const Checkpoint& checkpoint, const std::string& module,
                               const Scheme& scheme, int64_t n, int64_t k,
                               const std::vector<uint8_t>& zeros);

}  // namespace nibble
