// Element types as files store them, and exact conversion of the 16-bit floats.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

namespace nibble {

enum class DType : uint8_t {
  kBool,
  kU8,
  kI8,
  kF8E5M2,
  kF8E4M3,
  kF8E8M0,
  kI16,
  kU16,
  kF16,
  kBF16,
  kI32,
  kU32,
  kF32,
  kF64,
  kI64,
  kU64
};

int64_t dtype_size(DType t);
// safetensors' spelling: "F16", "BF16", ...
std::string_view dtype_name(DType t);
std::optional<DType> dtype_from_name(std::string_view name);
inline bool is_float(DType t) { return t == DType::kF32 || t == DType::kF16 || t == DType::kBF16; }

inline float bf16_to_float(uint16_t h) { return std::bit_cast<float>(uint32_t{h} << 16); }

// Round to nearest, ties to even; NaN stays NaN.
inline uint16_t float_to_bf16(float f) {
  auto u = std::bit_cast<uint32_t>(f);
  if ((u & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((u >> 16) | 0x40u);
  return static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

// IEEE binary16, subnormals included, without branches on the value so that it vectorizes.
inline float f16_to_float(uint16_t h) {
  uint32_t shifted = (uint32_t{h} & 0x7fffu) << 13;
  // A multiplication by 2^112 rebiases the exponent and normalizes subnormals at once.
  float scaled = std::bit_cast<float>(shifted) * 0x1p112f;
  uint32_t bits = std::bit_cast<uint32_t>(scaled);
  if ((h & 0x7c00u) == 0x7c00u) bits = shifted | 0x7f800000u;
  return std::bit_cast<float>(bits | (uint32_t{h} & 0x8000u) << 16);
}

// Of the two bytes that store it.
inline bool f16_is_finite(const std::byte* at) {
  uint16_t h;
  std::memcpy(&h, at, sizeof h);
  return (h & 0x7c00u) != 0x7c00u;
}

// Round to nearest, ties to even; overflow gives infinity.
inline uint16_t float_to_f16(float f) {
  auto u = std::bit_cast<uint32_t>(f);
  auto sign = static_cast<uint16_t>((u >> 16) & 0x8000u);
  uint32_t a = u & 0x7fffffffu;
  if (a > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);
  if (a >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);  // rounds past 65504
  if (a < 0x38800000u) {  // subnormal: the addition aligns and rounds
    float aligned = std::bit_cast<float>(a) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(aligned) - 0x3f000000u));
  }
  uint32_t rounded = a + 0xfffu + ((a >> 13) & 1u) - 0x38000000u;
  return static_cast<uint16_t>(sign | rounded >> 13);
}

// FP8 values: kF8E5M2, kF8E4M3 (no infinities; all ones is NaN), kF8E8M0 (2^(byte - 127), of MX
// formats' scales; 255 is NaN). Source: OCP 8-bit Floating Point and Microscaling specifications.
float f8_to_float(DType type, uint8_t byte);
inline bool is_f8(DType t) {
  return t == DType::kF8E5M2 || t == DType::kF8E4M3 || t == DType::kF8E8M0;
}

// `count` elements of a float or FP8 type to float32, in order. src may be unaligned.
void to_float(DType type, const std::byte* src, int64_t count, float* out);
// The same backwards, rounding to nearest even; not to FP8.
void from_float(DType type, const float* src, int64_t count, std::byte* out);

}  // namespace nibble
