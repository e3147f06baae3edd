#include "quant/outlier_columns.h"

#include <gtest/gtest.h>

#include <cstring>

namespace nibble {
namespace {

TEST(OutlierColumns, AreThoseThatAreLargeForNearlyEveryToken) {
  constexpr int64_t kTokens = 100;
  FloatMatrix m{"m", 2, 4, {1, 2, 3, 4, 5, 6, 7, 8}, *Scheme::parse("w8")};
  std::vector<float> x;  // column 1 is always 8, column 2 once 50, column 3 always -6
  for (int64_t t = 0; t < kTokens; ++t) x.insert(x.end(), {1, 8, t == 5 ? 50.f : 1.f, -6});
  InputStatistics s(4, InputStatistics::Need::kDiagonal);
  s.add(x.data(), kTokens);
  auto tensors = outlier_columns(m, s, 6, DType::kF32);
  ASSERT_EQ(tensors.size(), 2u);
  EXPECT_EQ(tensors[0].name, "m.outlier_columns");
  int32_t columns[2];
  ASSERT_EQ(tensors[0].view.bytes.size(), sizeof columns);
  std::memcpy(columns, tensors[0].view.bytes.data(), sizeof columns);
  EXPECT_EQ(columns[0], 1);
  EXPECT_EQ(columns[1], 3);
  float w[4];
  EXPECT_EQ(tensors[1].view.shape, (std::vector<int64_t>{2, 2}));
  std::memcpy(w, tensors[1].view.bytes.data(), sizeof w);
  EXPECT_EQ(w[1], 4);
  EXPECT_EQ(w[2], 6);
  EXPECT_TRUE(outlier_columns(m, s, 9, DType::kF32).empty());
}

}  // namespace
}  // namespace nibble
