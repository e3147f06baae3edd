// Reads the protobuf wire format, field by field, never past the end of its bytes.
#pragma once

#include <cstdint>
#include <optional>
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

}  // namespace nibble
