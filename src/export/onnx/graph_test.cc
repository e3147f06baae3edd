#include "export/onnx/graph.h"

#include <gtest/gtest.h>

#include <array>

namespace nibble {
namespace {

TEST(OnnxGraph, BytesOfAnyDimensions) {
  auto bytes = [](OnnxType type, std::array<int64_t, 2> dims) { return onnx_bytes(type, dims); };
  EXPECT_EQ(bytes(OnnxType::kInt4, {3, 5}), 8);
  EXPECT_EQ(bytes(OnnxType::kInt64, {0, 7}), 0);
  EXPECT_EQ(bytes(OnnxType::kInt64, {-1, 7}), std::nullopt);
  // Eight times this is 2^64, of which nothing is left in 64 bits.
  EXPECT_EQ(bytes(OnnxType::kInt64, {int64_t{1} << 61, 1}), std::nullopt);
}

}  // namespace
}  // namespace nibble
