#include "quant/sparse_report.h"

#include <gtest/gtest.h>

namespace nibble {
namespace {

// n rows of k columns, of which the first `zeros` of each row are exactly zero.
QuantizedMatrix half_empty(const char* scheme, int64_t n, int64_t k, int64_t zeros) {
  Scheme s = *Scheme::parse(scheme);
  QuantizedBuilder builder(s, n, k);
  std::vector<Grid> grids(static_cast<size_t>(s.groups(k)), Grid{.5f, 3});
  if (!s.asymmetric())
    for (Grid& g : grids) g.zero = s.symmetric_zero();
  auto zero = static_cast<uint8_t>(grids[0].zero);
  std::vector<uint8_t> codes(static_cast<size_t>(k), static_cast<uint8_t>(zero + 1));
  std::fill_n(codes.begin(), zeros, zero);
  for (int64_t r = 0; r < n; ++r) builder.set_row(r, codes.data(), grids);
  return builder.finish();
}

TEST(SparseReport, ZerosAreCounted) {
  EXPECT_EQ(count_zeros(half_empty("w4g64", 10, 160, 70)), 700);
  EXPECT_EQ(count_zeros(half_empty("w4g64-asym", 10, 160, 70)), 700);
  EXPECT_EQ(count_zeros(half_empty("w8", 3, 64, 0)), 0);
}

TEST(SparseReport, TheRivalTakesNoMoreBytes) {
  // One bit for the place and half of four for the codes are three.
  EXPECT_EQ(dense_rival(half_empty("w4g128", 64, 256, 128)).name(), "w3g128");
  EXPECT_EQ(dense_rival(half_empty("w8g64", 64, 256, 128)).name(), "w5g64");
  EXPECT_EQ(dense_rival(half_empty("w2", 64, 256, 250)).name(), "w2");
}

}  // namespace
}  // namespace nibble
