#include "tensor/dtype.h"

#include <limits>

#include "base/result.h"

namespace nibble {
namespace {

struct Row {
  DType type;
  std::string_view name;
  int64_t size;
};
constexpr Row kTypes[] = {
    {DType::kBool, "BOOL", 1},      {DType::kU8, "U8", 1},          {DType::kI8, "I8", 1},
    {DType::kF8E5M2, "F8_E5M2", 1}, {DType::kF8E4M3, "F8_E4M3", 1}, {DType::kF8E8M0, "F8_E8M0", 1},
    {DType::kI16, "I16", 2},        {DType::kU16, "U16", 2},        {DType::kF16, "F16", 2},
    {DType::kBF16, "BF16", 2},      {DType::kI32, "I32", 4},        {DType::kU32, "U32", 4},
    {DType::kF32, "F32", 4},        {DType::kF64, "F64", 8},        {DType::kI64, "I64", 8},
    {DType::kU64, "U64", 8},
};

uint16_t load16(const std::byte* p) {
  uint16_t h;
  std::memcpy(&h, p, 2);
  return h;
}

}  // namespace

int64_t dtype_size(DType t) { return kTypes[static_cast<int>(t)].size; }
std::string_view dtype_name(DType t) { return kTypes[static_cast<int>(t)].name; }

std::optional<DType> dtype_from_name(std::string_view name) {
  for (const Row& row : kTypes)
    if (row.name == name) return row.type;
  return std::nullopt;
}

float f8_to_float(DType type, uint8_t byte) {
  if (type == DType::kF8E5M2) return f16_to_float(static_cast<uint16_t>(byte << 8));
  if (type == DType::kF8E8M0) {
    if (byte == 255) return std::numeric_limits<float>::quiet_NaN();
    return byte == 0 ? 0x1p-127f : std::bit_cast<float>(uint32_t{byte} << 23);
  }
  NB_CHECK(type == DType::kF8E4M3);
  // As float16 the same bits stand for 2^-8 of the value, the exponent's bias being 7 and not 15.
  if ((byte & 0x7f) == 0x7f) return std::numeric_limits<float>::quiet_NaN();
  auto sign = static_cast<uint32_t>(byte & 0x80) << 8;
  return f16_to_float(static_cast<uint16_t>(sign | static_cast<uint32_t>(byte & 0x7f) << 7)) * 256;
}

void to_float(DType type, const std::byte* src, int64_t count, float* out) {
  if (count == 0) return;  // src and out may be null then
  switch (type) {
    case DType::kF32:
      std::memcpy(out, src, static_cast<size_t>(count) * 4);
      return;
    case DType::kF16:
      for (int64_t i = 0; i < count; ++i) out[i] = f16_to_float(load16(src + 2 * i));
      return;
    case DType::kBF16:
      for (int64_t i = 0; i < count; ++i) out[i] = bf16_to_float(load16(src + 2 * i));
      return;
    default:
      NB_CHECK(is_f8(type));
      for (int64_t i = 0; i < count; ++i)
        out[i] = f8_to_float(type, std::to_integer<uint8_t>(src[i]));
  }
}

void from_float(DType type, const float* src, int64_t count, std::byte* out) {
  if (count == 0) return;
  if (type == DType::kF32) {
    std::memcpy(out, src, static_cast<size_t>(count) * 4);
    return;
  }
  NB_CHECK(type == DType::kF16 || type == DType::kBF16);
  for (int64_t i = 0; i < count; ++i) {
    uint16_t h = type == DType::kF16 ? float_to_f16(src[i]) : float_to_bf16(src[i]);
    std::memcpy(out + 2 * i, &h, 2);
  }
}

}  // namespace nibble
