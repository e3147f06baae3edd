#include "quant/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "base/threads.h"
#include "quant/hessian.h"
#include "quant/python_random.h"

namespace nibble {
namespace {

std::vector<float> random_rows(int64_t rows, int64_t k, uint32_t seed) {
  PythonRandom random(seed);
  std::vector<float> x(static_cast<size_t>(rows * k));
  for (float& v : x) v = static_cast<float>(random.uniform() * 2 - 1);
  return x;
}

InputStatistics gather(const std::vector<float>& x, int64_t rows, int64_t k,
                       InputStatistics::Need need) {
  InputStatistics s(k, need);
  s.add(x.data(), rows / 2);
  s.add(x.data() + rows / 2 * k, rows - rows / 2);
  return s;
}

TEST(InputStatistics, SumsOuterProducts) {
  constexpr int64_t kRows = 50, kK = 300;
  auto x = random_rows(kRows, kK, 1);
  auto s = gather(x, kRows, kK, InputStatistics::Need::kHessian);
  ASSERT_TRUE(s.finish("layer"));
  EXPECT_EQ(s.tokens(), kRows);
  for (int64_t i : {0, 7, 255, 256, 299})
    for (int64_t j : {0, 128, 299}) {
      double expected = 0;
      for (int64_t r = 0; r < kRows; ++r)
        expected += static_cast<double>(x[static_cast<size_t>(r * kK + i)]) *
                    x[static_cast<size_t>(r * kK + j)];
      EXPECT_NEAR(s.hessian()[static_cast<size_t>(i * kK + j)], expected, 1e-4);
    }
  auto diagonal = gather(x, kRows, kK, InputStatistics::Need::kDiagonal);
  EXPECT_NEAR(diagonal.diagonal(299), s.diagonal(299), 1e-4);
}

TEST(InputStatistics, SameBitsForAnyThreadCount) {
  auto x = random_rows(64, 700, 2);
  std::vector<double> first;
  for (int threads : {1, 2, 3, 7}) {
    set_threads(threads);
    auto s = gather(x, 64, 700, InputStatistics::Need::kHessian);
    ASSERT_TRUE(s.finish("layer"));
    if (first.empty()) first = s.hessian();
    EXPECT_EQ(first, s.hessian()) << threads;
  }
  set_threads(0);
}

TEST(InputStatistics, NamesTheBrokenChannel) {
  auto x = random_rows(4, 8, 3);
  x[13] = std::numeric_limits<float>::infinity();
  for (auto need : {InputStatistics::Need::kHessian, InputStatistics::Need::kDiagonal}) {
    auto s = gather(x, 4, 8, need);
    auto status = s.finish("blocks.0.q");
    ASSERT_FALSE(status);
    EXPECT_NE(status.error().message.find("blocks.0.q"), std::string::npos);
    EXPECT_NE(status.error().message.find("channel 5"), std::string::npos);
  }
}

// U' U (H + damping) = 1 in the given order.
TEST(FactorInverse, InvertsTheDampedHessian) {
  constexpr int64_t kK = 40;
  auto x = random_rows(200, kK, 4);
  auto s = gather(x, 200, kK, InputStatistics::Need::kHessian);
  ASSERT_TRUE(s.finish("layer"));
  std::vector<int64_t> order(kK);
  std::iota(order.begin(), order.end(), 0);
  std::swap(order[3], order[30]);
  auto factor = factor_inverse(s, order, .01);
  ASSERT_EQ(factor.U.size(), static_cast<size_t>(kK * kK));
  EXPECT_TRUE(factor.notes.empty());
  double mean = 0;
  for (int64_t j = 0; j < kK; ++j) mean += s.diagonal(j) / 200 / kK;
  auto U = [&](int64_t i, int64_t j) {
    return static_cast<double>(factor.U[static_cast<size_t>(i * kK + j)]);
  };
  auto H = [&](int64_t i, int64_t j) {
    int64_t a = order[static_cast<size_t>(i)], b = order[static_cast<size_t>(j)];
    return s.hessian()[static_cast<size_t>(a * kK + b)] / 200 + (i == j ? .01 * mean : 0);
  };
  for (int64_t i = 0; i < kK; ++i)
    for (int64_t j = 0; j < kK; ++j) {
      double product = 0;
      for (int64_t m = 0; m < kK; ++m) {
        double inverse = 0;
        for (int64_t p = 0; p <= std::min(i, m); ++p) inverse += U(p, i) * U(p, m);
        product += inverse * H(m, j);
      }
      EXPECT_NEAR(product, i == j ? 1 : 0, 1e-4);
    }
}

// Fewer tokens than columns and inputs that never fire: the ladder still ends in a factor.
TEST(FactorInverse, SingularHessianIsDamped) {
  constexpr int64_t kK = 32;
  auto x = random_rows(2, kK, 5);
  for (int64_t r = 0; r < 2; ++r) x[static_cast<size_t>(r * kK + 9)] = 0;
  auto s = gather(x, 2, kK, InputStatistics::Need::kHessian);
  ASSERT_TRUE(s.finish("layer"));
  std::vector<int64_t> order(kK);
  std::iota(order.begin(), order.end(), 0);
  auto factor = factor_inverse(s, order, .01);
  EXPECT_FALSE(factor.U.empty());
  ASSERT_FALSE(factor.notes.empty());
  EXPECT_NE(factor.notes[0].find("1 of 32 inputs were never active"), std::string::npos);
}

// Statistics that no damping mends (a made-up indefinite matrix): no factor, and said so.
TEST(FactorInverse, GivesUpInWords) {
  InputStatistics s(2, InputStatistics::Need::kHessian);
  float x[4] = {1e20f, 1e20f, 1e20f, 1e20f};  // finite sums, but overflow in float32 products
  s.add(x, 2);
  EXPECT_FALSE(s.finish("layer"));
}

TEST(InputStatistics, NamesTheLayerAndTheChannelThatOverflowed) {
  for (auto need : {InputStatistics::Need::kDiagonal, InputStatistics::Need::kHessian}) {
    std::vector<float> x = random_rows(4, 24, 6);
    x[2 * 24 + 17] = NAN;
    auto s = gather(x, 4, 24, need);
    auto done = s.finish("blocks.3.down");
    ASSERT_FALSE(done);
    EXPECT_NE(done.error().message.find("blocks.3.down"), std::string::npos);
    EXPECT_NE(done.error().message.find("channel 17"), std::string::npos);
  }
}

}  // namespace
}  // namespace nibble
