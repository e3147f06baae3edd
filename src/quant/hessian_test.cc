#include "quant/hessian.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "quant/block_pass.h"
#include "quant/grid_search.h"
#include "quant/methods/method.h"

namespace nibble {
namespace {

InputStatistics of(std::vector<double> h) {
  InputStatistics::Sums sums;
  auto k = static_cast<size_t>(std::sqrt(static_cast<double>(h.size())));
  sums.tokens = 1;
  sums.h = std::move(h);
  sums.sum.resize(k);
  sums.absmax.assign(k, 1);
  return InputStatistics(std::move(sums), InputStatistics::Need::kHessian);
}

InverseFactor factor(const InputStatistics& s) {
  std::vector<int64_t> order(static_cast<size_t>(s.cols()));
  std::iota(order.begin(), order.end(), 0);
  return factor_inverse(s, order, .01);
}

bool notes_hold(const std::vector<std::string>& notes, const std::string& part) {
  for (const std::string& n : notes)
    if (n.find(part) != std::string::npos) return true;
  return false;
}

TEST(InverseFactor, GivesTheInverse) {
  InverseFactor f = factor(of({2, 1, 1, 3}));
  ASSERT_EQ(f.U.size(), 4u);
  EXPECT_TRUE(f.notes.empty());
  double a = 2 + .025, b = 1, d = 3 + .025, det = a * d - b * b;
  EXPECT_NEAR(f.U[0] * f.U[0], d / det, 1e-6);
  EXPECT_NEAR(f.U[0] * f.U[1], -b / det, 1e-6);
  EXPECT_NEAR(f.U[1] * f.U[1] + f.U[3] * f.U[3], a / det, 1e-6);
}

// Each rung is reached by a matrix that the one before cannot help, and says so.
TEST(InverseFactor, ClimbsTheLadder) {
  InverseFactor dead = factor(of({2, 0, 0, 0}));
  EXPECT_FALSE(dead.U.empty());
  EXPECT_TRUE(notes_hold(dead.notes, "1 of 2 inputs were never active"));
  InverseFactor damped = factor(of({1, .5, .5, 1e-9}));
  EXPECT_FALSE(damped.U.empty());
  EXPECT_TRUE(notes_hold(damped.notes, "damping raised to 0.4"));
  EXPECT_GT(damped.damping, .4);
  InverseFactor lifted = factor(of({1, .9, .9, 1e-9}));
  EXPECT_FALSE(lifted.U.empty());
  EXPECT_TRUE(notes_hold(lifted.notes, "diagonal lifted to 1.0e-01"));
  InverseFactor none = factor(of({1, 3, 3, 1}));
  EXPECT_TRUE(none.U.empty());
  EXPECT_TRUE(notes_hold(none.notes, "rounded to nearest"));
}

// A layer whose Hessian cannot be used is quantized all the same, and named in the notes.
TEST(InverseFactor, MethodsGoOnWithoutIt) {
  InputStatistics s = of({1, 3, 3, 1});
  FloatMatrix m{"layer.7", 3, 2, {.3f, -.2f, .1f, .9f, -.5f, .4f}, *Scheme::parse("w4")};
  for (const Method& method : known_methods()) {
    auto result = method.quantize(std::span(&m, 1), &s, {});
    ASSERT_TRUE(result) << method.name;
    EXPECT_EQ(result->matrices.size(), 1u);
    if (std::string(method.name) == "gptq") {
      EXPECT_TRUE(notes_hold(result->notes, "layer.7: Hessian could not be factorised"));
      QuantizedMatrix nearest = round_to_nearest(m, search_grids(m, activation_measure(s)));
      EXPECT_EQ(relative_error(m, result->matrices[0], nullptr),
                relative_error(m, nearest, nullptr));
    }
  }
}

}  // namespace
}  // namespace nibble
