#include "export/onnx/weight_bytes.h"

#include <gtest/gtest.h>

namespace nibble {
namespace {

// Element (r, j) of a matrix of bytes.
uint8_t element(int64_t r, int64_t j) { return static_cast<uint8_t>((5 * r + 3 * j) % 16); }

std::vector<uint8_t> turned(int64_t n, int64_t k, bool nibbles) {
  std::vector<uint8_t> out;
  auto fill = [&](int64_t r, std::byte* row) {
    for (int64_t j = 0; j < k; ++j) row[j] = std::byte{element(r, j)};
  };
  auto sink = [&](std::span<const std::byte> bytes, std::shared_ptr<const void>) -> Status {
    for (std::byte b : bytes) out.push_back(std::to_integer<uint8_t>(b));
    return {};
  };
  EXPECT_TRUE(write_turned(n, k, 1, nibbles, fill, sink));
  return out;
}

TEST(WeightBytes, TurnsRowsIntoColumns) {
  constexpr int64_t kRows = 131, kColumns = 7;  // more rows than a chunk has
  std::vector<uint8_t> out = turned(kRows, kColumns, false);
  ASSERT_EQ(out.size(), static_cast<size_t>(kRows * kColumns));
  for (int64_t r = 0; r < kRows; ++r)
    for (int64_t j = 0; j < kColumns; ++j)
      EXPECT_EQ(out[static_cast<size_t>(j * kRows + r)], element(r, j));
}

TEST(WeightBytes, NibblesRunOnAcrossRowsOfOddLength) {
  constexpr int64_t kRows = 3, kColumns = 5;
  std::vector<uint8_t> out = turned(kRows, kColumns, true);
  ASSERT_EQ(out.size(), 8u);
  for (int64_t i = 0; i < kRows * kColumns; ++i) {
    int value = out[static_cast<size_t>(i / 2)] >> (i % 2 * 4) & 15;
    EXPECT_EQ(value, element(i % kRows, i / kRows));
  }
  EXPECT_EQ(out[7] >> 4, 0);
}

TEST(OnnxGraph, SizesOfTypes) {
  EXPECT_EQ(onnx_bytes(OnnxType::kInt4, 5), 3);
  EXPECT_EQ(onnx_bytes(OnnxType::kBfloat16, 5), 10);
  EXPECT_EQ(onnx_bytes(OnnxType::kInt64, 2), 16);
}

TEST(OnnxGraph, EqualConstantsAreOneAndNamesAreUnique) {
  OnnxGraph g;
  EXPECT_EQ(g.real(2), g.real(2));
  EXPECT_NE(g.real(2), g.reals(std::vector{2.f}, {1}));
  EXPECT_NE(g.integer(0), g.integers({0}));
  g.scope("a");
  OnnxValue x = g.node("Add", {g.real(1), g.real(2)});
  EXPECT_NE(x, g.node("Add", {g.real(1), g.real(2)}));
}

}  // namespace
}  // namespace nibble
