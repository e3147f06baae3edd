// For unit tests of forms only: tensors spelt by hand, and the form that a config names.
#pragma once

#include <vector>

#include "base/test_util.h"
#include "formats/weights/weight_format.h"

namespace nibble {

template <class T>
NamedTensor tensor_of(const std::string& name, DType dtype, std::vector<int64_t> shape,
                      const std::vector<T>& values) {
  auto bytes = std::as_bytes(std::span(values));
  return {name, own_bytes(dtype, std::move(shape), {bytes.begin(), bytes.end()})};
}
inline NamedTensor floats_of(const std::string& name, DType dtype, std::vector<int64_t> shape,
                             const std::vector<float>& values) {
  return {name, own_floats(dtype, std::move(shape), values)};
}

// q: the quantization_config.
inline Result<std::unique_ptr<WeightFormat>> form_of(const std::string& q) {
  return weight_format_of(parse_json(R"({"quantization_config":)" + q + "}", "t").value(),
                          "/nowhere");
}

inline Checkpoint checkpoint_of(std::vector<NamedTensor> tensors) {
  return Checkpoint::of_tensors("folder", std::move(tensors));
}
// The same with one replaced, or taken away where `other` has no bytes of its own.
inline Checkpoint checkpoint_with(std::vector<NamedTensor> tensors, NamedTensor other) {
  std::erase_if(tensors, [&](const NamedTensor& t) { return t.name == other.name; });
  if (other.view.owner) tensors.push_back(std::move(other));
  return checkpoint_of(std::move(tensors));
}

inline std::vector<float> values_of(const Result<TensorView>& view) {
  if (!view) return {};
  std::vector<float> out(static_cast<size_t>(view->elements()));
  to_float(view->dtype, view->bytes.data(), view->elements(), out.data());
  return out;
}

}  // namespace nibble
