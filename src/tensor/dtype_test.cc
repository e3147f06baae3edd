#include "tensor/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace nibble {
namespace {

TEST(F16, EveryValueRoundTrips) {
  for (uint32_t i = 0; i < 65536; ++i) {
    auto h = static_cast<uint16_t>(i);
    float f = f16_to_float(h);
    _Float16 reference;
    std::memcpy(&reference, &h, 2);
    if (std::isnan(f)) {
      EXPECT_TRUE(std::isnan(static_cast<float>(reference))) << i;
      EXPECT_TRUE(std::isnan(f16_to_float(float_to_f16(f)))) << i;
      continue;
    }
    EXPECT_EQ(std::bit_cast<uint32_t>(f), std::bit_cast<uint32_t>(static_cast<float>(reference)));
    EXPECT_EQ(float_to_f16(f), h) << i;
  }
}

TEST(F8, Values) {
  for (auto [type, byte, value] :
       std::initializer_list<std::tuple<DType, int, float>>{{DType::kF8E4M3, 0x00, 0},
                                                            {DType::kF8E4M3, 0x01, 0x1p-9f},
                                                            {DType::kF8E4M3, 0x07, 0x7p-9f},
                                                            {DType::kF8E4M3, 0x08, 0x1p-6f},
                                                            {DType::kF8E4M3, 0x38, 1},
                                                            {DType::kF8E4M3, 0xbc, -1.5f},
                                                            {DType::kF8E4M3, 0x78, 256},
                                                            {DType::kF8E4M3, 0x7e, 448},
                                                            {DType::kF8E5M2, 0x01, 0x1p-16f},
                                                            {DType::kF8E5M2, 0x3c, 1},
                                                            {DType::kF8E5M2, 0xfb, -57344},
                                                            {DType::kF8E5M2, 0x7c, INFINITY},
                                                            {DType::kF8E8M0, 0, 0x1p-127f},
                                                            {DType::kF8E8M0, 1, 0x1p-126f},
                                                            {DType::kF8E8M0, 127, 1},
                                                            {DType::kF8E8M0, 254, 0x1p127f}})
    EXPECT_EQ(f8_to_float(type, static_cast<uint8_t>(byte)), value) << byte;
  for (auto [type, byte] : std::initializer_list<std::pair<DType, int>>{{DType::kF8E4M3, 0x7f},
                                                                        {DType::kF8E4M3, 0xff},
                                                                        {DType::kF8E5M2, 0x7e},
                                                                        {DType::kF8E8M0, 255}})
    EXPECT_TRUE(std::isnan(f8_to_float(type, static_cast<uint8_t>(byte)))) << byte;
}

TEST(BF16, EveryValueRoundTrips) {
  for (uint32_t i = 0; i < 65536; ++i) {
    auto h = static_cast<uint16_t>(i);
    float f = bf16_to_float(h);
    if (std::isnan(f)) {
      EXPECT_TRUE(std::isnan(bf16_to_float(float_to_bf16(f)))) << i;
    } else {
      EXPECT_EQ(float_to_bf16(f), h) << i;
    }
  }
}

// Random bit patterns, and all neighbours of the 16-bit values and of the points between them.
std::vector<float> hard_floats(float (*widen)(uint16_t)) {
  std::vector<float> out;
  std::mt19937 random(1);
  for (int i = 0; i < 300'000; ++i)
    out.push_back(std::bit_cast<float>(static_cast<uint32_t>(random())));
  for (uint32_t i = 0; i < 65535; ++i) {
    float a = widen(static_cast<uint16_t>(i)), b = widen(static_cast<uint16_t>(i + 1));
    float middle = a / 2 + b / 2;
    for (float f : {a, middle})
      for (float g : {f, std::nextafterf(f, INFINITY), std::nextafterf(f, -INFINITY)})
        out.push_back(g);
  }
  return out;
}

TEST(F16, RoundsAsTheCompilerDoes) {
  for (float f : hard_floats(f16_to_float)) {
    if (std::isnan(f)) continue;
    auto reference = static_cast<_Float16>(f);
    uint16_t bits;
    std::memcpy(&bits, &reference, 2);
    ASSERT_EQ(float_to_f16(f), bits) << f;
  }
}

TEST(BF16, RoundsToTheNearestEven) {
  for (float f : hard_floats(bf16_to_float)) {
    if (std::isnan(f)) continue;
    // The neighbours below and above in magnitude; the nearer one, at a tie the even one.
    auto low = static_cast<uint16_t>(std::bit_cast<uint32_t>(f) >> 16);
    uint32_t rest = std::bit_cast<uint32_t>(f) & 0xffff;
    bool up = rest > 0x8000 || (rest == 0x8000 && (low & 1));
    ASSERT_EQ(float_to_bf16(f), static_cast<uint16_t>(low + up)) << f;
  }
}

TEST(Conversion, WholeBuffersAndUnaligned) {
  std::vector<float> values = {0, -0.f, 1, -2.5f, 65504, 1e-7f, 0.1f};
  for (DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
    std::vector<std::byte> bytes(values.size() * static_cast<size_t>(dtype_size(type)) + 1);
    from_float(type, values.data(), static_cast<int64_t>(values.size()), bytes.data() + 1);
    std::vector<float> back(values.size());
    to_float(type, bytes.data() + 1, static_cast<int64_t>(values.size()), back.data());
    for (size_t i = 0; i < values.size(); ++i)
      EXPECT_NEAR(back[i], values[i], std::fabs(values[i]) / 256 + 1e-7f);
  }
}

TEST(DTypeNames, RoundTrip) {
  for (int i = 0; i <= static_cast<int>(DType::kU64); ++i) {
    auto type = static_cast<DType>(i);
    EXPECT_EQ(dtype_from_name(dtype_name(type)), type);
    EXPECT_TRUE(dtype_size(type) >= 1 && dtype_size(type) <= 8);
  }
  for (const char* bad : {"", "f32", "F31", "F8", "I4", "BF16 "})
    EXPECT_FALSE(dtype_from_name(bad));
}

}  // namespace
}  // namespace nibble
