#include "model/gguf/row_order.h"

#include <gtest/gtest.h>

#include <vector>

namespace nibble {
namespace {

std::vector<int64_t> sources(const RowOrder& order, int64_t rows) {
  std::vector<int64_t> out;
  for (int64_t i = 0; i < rows; ++i) out.push_back(order.source(i));
  return out;
}

TEST(RowOrder, PlainIsPlain) {
  EXPECT_TRUE(RowOrder{}.plain());
  EXPECT_EQ(sources({}, 3), (std::vector<int64_t>{0, 1, 2}));
}

// The converter has put row i beside row i + 2 of each head of 4.
TEST(RowOrder, PairsAreTakenApart) {
  EXPECT_EQ(sources({RowOrder::Kind::kPairs, 4, 0, 0}, 8),
            (std::vector<int64_t>{0, 2, 1, 3, 4, 6, 5, 7}));
}

// Two groups of two queries, a key and a value, heads of 1: q q k v, q q k v in the folder.
TEST(RowOrder, BlocksGoBackToGroups) {
  EXPECT_EQ(sources({RowOrder::Kind::kBlocks, 1, 4, 2}, 8),
            (std::vector<int64_t>{0, 1, 4, 6, 2, 3, 5, 7}));
}

}  // namespace
}  // namespace nibble
