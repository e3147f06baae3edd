// The wire format is described at protobuf.dev/programming-guides/encoding.
#include "base/protobuf.h"

#include <bit>

namespace nibble {
namespace {

uint64_t little_endian(std::string_view bytes) {
  uint64_t v = 0;
  for (size_t i = bytes.size(); i-- > 0;) v = v << 8 | static_cast<unsigned char>(bytes[i]);
  return v;
}

}  // namespace

Result<int64_t> ProtoField::as_int(const std::string& what) const {
  if (type != Type::kVarint) return fail("{}: field {} should be a whole number", what, number);
  return static_cast<int64_t>(value);
}

Result<bool> ProtoField::as_bool(const std::string& what) const {
  return NB_TRY(as_int(what)) != 0;
}

Result<float> ProtoField::as_float(const std::string& what) const {
  if (type != Type::kFixed32) return fail("{}: field {} should be a float", what, number);
  return std::bit_cast<float>(static_cast<uint32_t>(value));
}

Result<std::string_view> ProtoField::as_bytes(const std::string& what) const {
  if (type != Type::kBytes) return fail("{}: field {} should be a text", what, number);
  return bytes;
}

Result<uint64_t> ProtoReader::varint() {
  uint64_t v = 0;
  for (size_t i = 0; i < 10; ++i) {
    if (i >= rest_.size()) return fail("{}: cut off at byte {}", what_, size_);
    auto b = static_cast<unsigned char>(rest_[i]);
    v |= uint64_t{b & 0x7Fu} << (7 * i);
    if (b < 0x80) {
      rest_.remove_prefix(i + 1);
      return v;
    }
  }
  return fail("{}: number of more than 10 bytes at byte {}", what_, size_ - rest_.size());
}

Result<std::string_view> ProtoReader::take(uint64_t n) {
  if (n > rest_.size())
    return fail("{}: field of {} bytes at byte {} is cut off ({} are left)", what_, n,
                size_ - rest_.size(), rest_.size());
  std::string_view taken = rest_.substr(0, n);
  rest_.remove_prefix(n);
  return taken;
}

Result<std::optional<ProtoField>> ProtoReader::next() {
  if (rest_.empty()) return std::nullopt;
  uint64_t tag = NB_TRY(varint());
  ProtoField field;
  field.number = static_cast<int64_t>(tag >> 3);
  if (field.number == 0 || field.number >= (1 << 29))
    return fail("{}: not a protobuf message (field number {})", what_, field.number);
  switch (tag & 7) {
    case 0:
      field.value = NB_TRY(varint());
      return field;
    case 1:
      field.type = ProtoField::Type::kFixed64;
      field.value = little_endian(NB_TRY(take(8)));
      return field;
    case 2:
      field.type = ProtoField::Type::kBytes;
      field.bytes = NB_TRY(take(NB_TRY(varint())));
      return field;
    case 5:
      field.type = ProtoField::Type::kFixed32;
      field.value = little_endian(NB_TRY(take(4)));
      return field;
    default:
      return fail("{}: wire type {} at byte {} is unknown", what_, tag & 7, size_ - rest_.size());
  }
}

void ProtoWriter::varint(uint64_t value) {
  for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
  bytes_ += static_cast<char>(value);
}

void ProtoWriter::integer(int64_t field, int64_t value) {
  varint(static_cast<uint64_t>(field) << 3);
  varint(static_cast<uint64_t>(value));
}

void ProtoWriter::integers(int64_t field, std::span<const int64_t> values) {
  ProtoWriter packed;
  for (int64_t v : values) packed.varint(static_cast<uint64_t>(v));
  message(field, packed);
}

void ProtoWriter::real(int64_t field, float value) {
  varint(static_cast<uint64_t>(field) << 3 | 5);
  auto bits = std::bit_cast<uint32_t>(value);
  for (int i = 0; i < 4; ++i) bytes_ += static_cast<char>(bits >> (8 * i));
}

void ProtoWriter::text(int64_t field, std::string_view value) {
  varint(static_cast<uint64_t>(field) << 3 | 2);
  varint(value.size());
  bytes_ += value;
}

}  // namespace nibble
