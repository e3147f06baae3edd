// FlatBuffers, the container of TFLite files: tables of numbered slots. Written front to back, a
// table before what it points to, so that large vectors can follow all else and be streamed; read
// with every offset checked. Source: google/flatbuffers, docs/source/internals.md.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace nibble {

// A table to be written. A slot is a field's place in the schema, from 0; a union takes two.
class FlatTable {
 public:
  template <class T>
  void scalar(int slot, T value) {
    add(slot, Kind::kScalar, sizeof(T))
        .bytes.assign(reinterpret_cast<const char*>(&value), sizeof(T));
  }
  // Elements of at most 8 bytes.
  template <class T>
  void vector(int slot, std::span<const T> values) {
    add(slot, Kind::kVector, sizeof(T))
        .bytes.assign(reinterpret_cast<const char*>(values.data()), values.size_bytes());
  }
  void text(int slot, std::string_view value) { add(slot, Kind::kText, 1).bytes = value; }
  void table(int slot, FlatTable value);
  void tables(int slot, std::vector<FlatTable> values);
  // A vector of bytes that lies behind all tables, the `number`th of those given to lay_flat.
  void blob(int slot, size_t number);

 private:
  friend class FlatEmitter;
  enum class Kind : uint8_t { kScalar, kVector, kText, kTable, kTables, kBlob };
  struct Field {
    int slot = 0;
    Kind kind = Kind::kScalar;
    size_t size = 0;  // of one element
    std::string bytes;
    std::vector<FlatTable> tables;
    size_t blob = 0;
  };
  Field& add(int slot, Kind kind, size_t size);
  std::vector<Field> fields_;
};

// A file without its blobs. Each blob is written at its offset, its length as a uint32 right before
// it, zeros between.
struct FlatBytes {
  std::string head;
  std::vector<int64_t> offsets;
};

// identifier: the file's four letters. Blobs begin at multiples of `alignment`, a power of two from
// 4 on. Refused: a file of 2 GB or more, the format's limit.
Result<FlatBytes> lay_flat(const FlatTable& root, std::string_view identifier,
                           std::span<const int64_t> blob_sizes, int64_t alignment);

// A table in a file that may be anything. Absent fields are the caller's default or empty.
class FlatView {
 public:
  // `what` names the file in errors.
  static Result<FlatView> root(std::span<const std::byte> file, std::string_view identifier,
                               const std::string& what);

  template <class T>
  Result<T> scalar(int slot, T absent) const {
    int64_t at = NB_TRY(field(slot, sizeof(T)));
    if (at > 0) std::memcpy(&absent, file_.data() + at, sizeof(T));
    return absent;
  }
  // The bytes of a vector of elements of `size` bytes. Refused once a file's vectors, which
  // may be one and the same, come to sixteen times its own size.
  Result<std::span<const std::byte>> vector(int slot, int64_t size) const;
  template <class T>
  Result<std::vector<T>> values(int slot) const {
    std::span<const std::byte> bytes = NB_TRY(vector(slot, sizeof(T)));
    std::vector<T> out(bytes.size() / sizeof(T));
    if (!out.empty()) std::memcpy(out.data(), bytes.data(), bytes.size());
    return out;
  }
  Result<std::string> text(int slot) const;
  Result<std::optional<FlatView>> table(int slot) const;
  Result<std::vector<FlatView>> tables(int slot) const;

 private:
  FlatView(std::span<const std::byte> file, const std::string& what);
  std::unexpected<Error> malformed() const;
  Result<FlatView> table_at(int64_t at) const;
  // Where a field of `size` bytes lies; 0 where the table lacks it.
  Result<int64_t> field(int slot, int64_t size) const;
  // Where the thing lies that the uint32 at `at` points to.
  Result<int64_t> follow(int64_t at) const;
  template <class T>
  Result<T> read(int64_t at) const;
  bool holds(int64_t at, int64_t size) const;

  std::span<const std::byte> file_;
  std::string what_;
  std::shared_ptr<int64_t> left_;    // bytes of vectors that the file's views may still read
  int64_t at_ = 0, end_ = 0;         // of the table
  int64_t vtable_ = 0, fields_ = 0;  // where it begins, how many it names
};

}  // namespace nibble
