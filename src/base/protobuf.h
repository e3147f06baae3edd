// The protobuf wire format: read field by field, never past the end of the bytes, and written.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace nibble {

struct ProtoField {
  int64_t number = 0;
  enum class Type { kVarint, kFixed64, kBytes, kFixed32 } type = Type::kVarint;
  uint64_t value = 0;      // of the three number types
  std::string_view bytes;  // of kBytes

  // The value as its declared type; an error naming `what` where the file holds another.
  Result<int64_t> as_int(const std::string& what) const;
  Result<bool> as_bool(const std::string& what) const;
  Result<float> as_float(const std::string& what) const;
  Result<std::string_view> as_bytes(const std::string& what) const;
};

// One message. Unknown fields are handed out like known ones, for the caller to pass over.
class ProtoReader {
 public:
  ProtoReader(std::string_view bytes, std::string what)
      : rest_(bytes), size_(bytes.size()), what_(std::move(what)) {}
  // The next field, nothing at the end, an error for a message that is cut off or malformed.
  Result<std::optional<ProtoField>> next();

 private:
  Result<uint64_t> varint();
  Result<std::string_view> take(uint64_t n);

  std::string_view rest_;
  size_t size_;
  std::string what_;
};

// Appends fields to a message.
class ProtoWriter {
 public:
  void integer(int64_t field, int64_t value);                     // int32, int64, enum, bool
  void integers(int64_t field, std::span<const int64_t> values);  // repeated, packed
  void real(int64_t field, float value);
  void text(int64_t field, std::string_view value);  // string, bytes
  void message(int64_t field, const ProtoWriter& value) { text(field, value.bytes_); }
  const std::string& bytes() const { return bytes_; }

 private:
  void varint(uint64_t value);
  std::string bytes_;
};

}  // namespace nibble
