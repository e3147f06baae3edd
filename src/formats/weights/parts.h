// What the forms of stored weights share: one tensor of a module, checked; scales; groups in an
// order of their own.
#pragma once

#include <array>
#include <span>
#include <string>
#include <vector>

#include "formats/checkpoint.h"
#include "tensor/quantized.h"

namespace nibble {

// "FOLDER: "MODULE"", where an error is said to be.
std::string place_of(const Checkpoint& checkpoint, const std::string& module);

// Tensor MODULE + suffix (".qweight"), which must have one of the dtypes and the shape.
Result<TensorView> get_part(const Checkpoint& checkpoint, const std::string& module,
                            const char* suffix, std::initializer_list<DType> dtypes,
                            std::span<const int64_t> shape);
Result<TensorView> get_part(const Checkpoint& checkpoint, const std::string& module,
                            const char* suffix, std::initializer_list<DType> dtypes);

// An error where an element of a float or FP8 tensor is infinite or not a number.
Status check_finite(const TensorView& view, const std::string& place, const char* suffix);
// The elements, so checked.
Result<std::vector<float>> finite_floats(const TensorView& view, const std::string& place,
                                         const char* suffix);

// Bytes of those of the tensors MODULE + suffix that exist.
int64_t bytes_of_parts(const Checkpoint& checkpoint, const std::string& module,
                       std::initializer_list<const char*> suffixes);

// MODULE + suffix: I32 (k), the group of each column, each below `groups`; nothing where that is
// column / group_size as in a matrix without it, where all are -1 (never set), or where the tensor
// is missing.
Result<std::vector<int32_t>> column_groups(const Checkpoint& checkpoint, const std::string& module,
                                           const char* suffix, int64_t k, int64_t groups,
                                           int64_t group_size);

// The values of w, F32 (n, k), if column j belongs to group groups[j].
TensorView regrouped_floats(const QuantizedMatrix& w, std::span<const int32_t> groups);

// a: (rows, cols) of a dtype of 2 or 4 bytes, to (cols, rows).
TensorView transposed(DType dtype, std::span<const std::byte> a, int64_t rows, int64_t cols);

}  // namespace nibble
