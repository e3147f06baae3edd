// A tensor where it lies: in a mapped file or in memory somebody else keeps alive.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "tensor/dtype.h"

namespace nibble {

// C order, little-endian, possibly unaligned. `owner` keeps the bytes alive; `file` is set where
// they are mapped, so that a streamed reader can give the pages back.
struct TensorView {
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner;
  std::shared_ptr<const MappedFile> file;

  int64_t elements() const { return static_cast<int64_t>(bytes.size()) / dtype_size(dtype); }
  int64_t dim(size_t i) const { return shape[i]; }
  void release() const {
    if (file) file->release(bytes);
  }
};

// "[3, 4]"
std::string shape_text(std::span<const int64_t> shape);

// A view that owns a copy of `values`, stored as dtype: a float type for floats.
TensorView own_floats(DType dtype, std::vector<int64_t> shape, std::span<const float> values);
// A view that owns the bytes themselves.
TensorView own_bytes(DType dtype, std::vector<int64_t> shape, std::vector<std::byte> bytes);

struct NamedTensor {
  std::string name;
  TensorView view;
};

}  // namespace nibble
