#include "quant/transforms/hadamard.h"

#include <gtest/gtest.h>

#include <cmath>

namespace nibble {
namespace {

TEST(Hadamard, RowsAreOrthogonal) {
  // Sylvester; Paley's first construction (12, 20, 24, 44, 60), second (28, 36);
  // doublings of them (576 = SmolLM's 36 * 16, 896 = 28 * 32).
  for (int64_t n : {1, 2, 4, 8, 64, 256, 12, 20, 24, 28, 36, 44, 60, 96, 576, 896}) {
    auto h = hadamard(n);
    ASSERT_TRUE(h) << n;
    for (int64_t i = 0; i < n; i += n > 100 ? 37 : 1)
      for (int64_t j = 0; j < n; ++j) {
        int64_t dot = 0;
        for (int64_t x = 0; x < n; ++x)
          dot += (*h)[static_cast<size_t>(i * n + x)] * (*h)[static_cast<size_t>(j * n + x)];
        ASSERT_EQ(dot, i == j ? n : 0) << n << ": rows " << i << ", " << j;
      }
  }
}

TEST(Hadamard, NoneForOddOrders) {
  for (int64_t n : {3, 6, 43, 172 / 2, 50}) EXPECT_FALSE(hadamard(n)) << n;
}

TEST(Hadamard, RotationsAreOrthogonalForAnyOrder) {
  for (int64_t n : {1, 5, 10, 43, 64, 172})
    for (uint32_t seed : {0u, 9u}) {
      auto r = random_rotation(n, seed);
      for (int64_t i = 0; i < n; ++i)
        for (int64_t j = 0; j < n; ++j) {
          double dot = 0;
          for (int64_t x = 0; x < n; ++x)
            dot += static_cast<double>(r[static_cast<size_t>(i * n + x)]) *
                   r[static_cast<size_t>(j * n + x)];
          ASSERT_NEAR(dot, i == j, 1e-6) << n;
        }
    }
  EXPECT_NE(random_rotation(64, 0), random_rotation(64, 1));
}

}  // namespace
}  // namespace nibble
