#include "tensor/view.h"

#include <fmt/ranges.h>

namespace nibble {

std::string shape_text(std::span<const int64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

TensorView own_bytes(DType dtype, std::vector<int64_t> shape, std::vector<std::byte> bytes) {
  auto kept = std::make_shared<std::vector<std::byte>>(std::move(bytes));
  return {dtype, std::move(shape), *kept, kept, nullptr};
}

TensorView own_floats(DType dtype, std::vector<int64_t> shape, std::span<const float> values) {
  std::vector<std::byte> bytes(values.size() * static_cast<size_t>(dtype_size(dtype)));
  from_float(dtype, values.data(), static_cast<int64_t>(values.size()), bytes.data());
  return own_bytes(dtype, std::move(shape), std::move(bytes));
}

}  // namespace nibble
