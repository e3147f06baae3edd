#include "quant/allocate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace nibble {
namespace {

// The least cost within `bytes` by trying every combination; infinity where none fits.
double brute_force(const std::vector<AllocationItem>& items, int64_t bytes, size_t from = 0) {
  if (from == items.size()) return bytes >= 0 ? 0 : std::numeric_limits<double>::infinity();
  double best = std::numeric_limits<double>::infinity();
  for (const AllocationOption& o : items[from])
    best = std::min(best, o.cost + brute_force(items, bytes - o.bytes, from + 1));
  return best;
}

// Layers of different sizes and sensitivities, five widths each; costs fall with bits but for
// noise.
std::vector<AllocationItem> toy(size_t layers, uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> unit(0, 1);
  std::vector<AllocationItem> items(layers);
  for (AllocationItem& item : items) {
    auto weights = static_cast<int64_t>(1 + random() % 9) * 8;
    double sensitivity = .01 + unit(random);
    for (int bits : {2, 3, 4, 5, 6, 8})
      item.push_back(
          {weights * bits / 8, sensitivity * (std::pow(4., -bits) + .001 * unit(random))});
  }
  return items;
}

TEST(Allocate, EqualsBruteForceOnSixLayersAtEverySize) {
  for (uint32_t seed : {1u, 2u, 3u}) {
    auto items = toy(6, seed);
    ParetoFront front(items);
    int64_t most = front.total(front.size() - 1).bytes;
    for (int64_t bytes = 0; bytes <= most + 8; bytes += 5) {
      size_t point = front.best_within(bytes);
      double expected = brute_force(items, bytes);
      if (std::isinf(expected)) {
        EXPECT_EQ(point, front.size()) << bytes;
        continue;
      }
      ASSERT_LT(point, front.size()) << bytes;
      EXPECT_NEAR(front.total(point).cost, expected, 1e-12) << bytes;
    }
  }
}

TEST(Allocate, ChoicesAddUpAndTheFrontFalls) {
  auto items = toy(9, 4);
  ParetoFront front(items);
  ASSERT_GT(front.size(), 10u);
  for (size_t p = 0; p < front.size(); ++p) {
    Allocation a = front.at(p);
    int64_t bytes = 0;
    double cost = 0;
    for (size_t i = 0; i < items.size(); ++i) {
      bytes += items[i][a.choice[i]].bytes;
      cost += items[i][a.choice[i]].cost;
    }
    EXPECT_EQ(bytes, a.bytes);
    EXPECT_NEAR(cost, a.cost, 1e-12);
    if (p == 0) continue;
    EXPECT_GT(a.bytes, front.total(p - 1).bytes);
    EXPECT_LT(a.cost, front.total(p - 1).cost);
  }
}

}  // namespace
}  // namespace nibble
