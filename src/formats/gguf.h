// The GGUF container, versions 2 and 3: metadata and tensors where they lie.
// Source: ggml-org/ggml, docs/gguf.md and src/gguf.cpp, whose checks these are.
#pragma once

#include <map>
#include <string>
#include <variant>
#include <vector>

#include "base/file.h"
#include "tensor/ggml_blocks.h"

namespace nibble {

// A value of the metadata; an array holds values of one kind. Texts are views into the mapping.
using GgufArray = std::variant<std::vector<int64_t>, std::vector<double>, std::vector<bool>,
                               std::vector<std::string_view>>;
using GgufValue = std::variant<int64_t, double, bool, std::string_view, GgufArray>;

struct GgufTensor {
  std::string name;
  const GgmlType* type = nullptr;
  std::vector<int64_t> shape;  // as PyTorch has it: outermost first
  std::span<const std::byte> bytes;

  int64_t elements() const {
    return static_cast<int64_t>(bytes.size()) / type->bytes * type->block;
  }
};

struct GgufFile {
  std::shared_ptr<MappedFile> file;
  std::map<std::string, GgufValue, std::less<>> metadata;
  std::vector<GgufTensor> tensors;  // in the order of the data

  // The value, or null where the key is absent or of another kind.
  template <class T>
  const T* find(std::string_view key) const {
    auto it = metadata.find(key);
    return it == metadata.end() ? nullptr : std::get_if<T>(&it->second);
  }
};

// Maps and validates a file. Refused with one line: no GGUF, version 1 or the wrong endianness,
// counts and sizes beyond the file, duplicate or empty keys, nested arrays, types that nibble does
// not read, rows that are no whole blocks, data that does not lie one after another.
Result<GgufFile> open_gguf(const std::string& path);

// All elements in C order. out: tensor.elements() floats.
void gguf_to_float(const GgufTensor& tensor, float* out);

}  // namespace nibble
