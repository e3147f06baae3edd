// Writes a GGUF file, version 3.
// Source: ggml-org/ggml, docs/gguf.md and src/gguf.cpp, whose loader's rules these are.
#pragma once

#include <functional>
#include <string>
#include <unordered_set>
#include <vector>

#include "base/result.h"
#include "tensor/ggml_blocks.h"

namespace nibble {

// Key-value pairs in the order in which they were added.
class GgufMetadata {
 public:
  void text(const std::string& key, std::string_view value);
  void flag(const std::string& key, bool value);
  void number(const std::string& key, int64_t value);         // u32
  void small(const std::string& key, int64_t value);          // u16
  void signed_number(const std::string& key, int64_t value);  // i32
  void real(const std::string& key, double value);            // f32
  void texts(const std::string& key, std::span<const std::string> values);
  void integers(const std::string& key, std::span<const int32_t> values);
  void reals(const std::string& key, std::span<const float> values);

  int64_t count() const { return count_; }
  const std::string& bytes() const { return bytes_; }

 private:
  void begin(const std::string& key, uint32_t tag);
  void begin_array(const std::string& key, uint32_t tag, uint64_t count);
  void put_text(std::string_view value);
  template <class T>
  void put(T value);
  std::string bytes_;
  int64_t count_ = 0;
};

// A tensor that is made when it is written.
struct PendingGgufTensor {
  std::string name;  // at most 63 bytes
  const GgmlType* type = nullptr;
  std::vector<int64_t> shape;  // outermost first; the last is whole blocks
  // Fills the bytes of rows [first, first + count), a row being the last dimension.
  std::function<Status(int64_t first, int64_t count, std::byte* out)> rows;

  int64_t row_bytes() const { return shape.back() / type->block * type->bytes; }
  int64_t row_count() const;
};

// Refuses names that the loader would not take: longer than 63 bytes, empty or twice there.
Status check_gguf_names(std::span<const PendingGgufTensor> tensors, const std::string& path);

// Writes the file atomically, some megabytes of rows at a time.
Status write_gguf(const std::string& path, const GgufMetadata& metadata,
                  std::span<const PendingGgufTensor> tensors);

// The same as `name` ("model.gguf") in `folder`; where `part_bytes` is not 0 and the tensors take
// more, in parts as gguf-split makes them, model-00001-of-00003.gguf: tensors in their order, each
// part at least one, the metadata in the first. -> the name of the file to open.
// Source: ggml-org/llama.cpp, tools/gguf-split.
Result<std::string> write_gguf_parts(const std::string& folder, const std::string& name,
                                     const GgufMetadata& metadata,
                                     std::span<const PendingGgufTensor> tensors,
                                     int64_t part_bytes);

}  // namespace nibble
