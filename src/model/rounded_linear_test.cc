#include "model/rounded_linear.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace nibble {
namespace {

constexpr int64_t kN = 3, kK = 64, kRows = 2, kBlock = 32;

// w(i, j) = i + j; nothing of it is an integer code.
class Ramp : public RowSource {
 public:
  int64_t rows() const override { return kN; }
  int64_t cols() const override { return kK; }
  int64_t stored_bytes() const override { return kN * kK; }
  int64_t block() const override { return kBlock; }
  void decode(int64_t row, float* out) const override {
    for (int64_t j = 0; j < kK; ++j) out[j] = static_cast<float>(row + j);
  }
};

// 1 at first, in each row's second half a hundredth of it; 127 codes of either are a scale.
std::vector<float> two_sizes() {
  std::vector<float> x(kRows * kK);
  for (size_t i = 0; i < x.size(); ++i)
    x[i] = (i % kK < kBlock ? 1.f : .01f) * std::cos(static_cast<float>(i % kBlock));
  return x;
}

TEST(RoundRows, EachBlockHasItsOwnScale) {
  std::vector<float> x = two_sizes();
  std::vector<float> out = round_rows(x.data(), kRows, kK, {Activations::kInt8Block32}, kBlock);
  for (size_t i = 0; i < x.size(); ++i) {
    float scale = (i % kK < kBlock ? 1.f : .01f) / 127;
    EXPECT_NEAR(out[i], x[i], scale / 2 * 1.001f);
    EXPECT_NEAR(out[i] / scale, std::round(out[i] / scale), 1e-3f);
  }
}

TEST(RoundRows, PerTokenAndStaticScales) {
  std::vector<float> x = two_sizes();
  std::vector<float> token = round_rows(x.data(), kRows, kK, {Activations::kInt8Token}, kBlock);
  std::vector<float> fixed =
      round_rows(x.data(), kRows, kK, {Activations::kInt8Static, .001f}, kBlock);
  for (size_t i = 0; i < x.size(); ++i) {
    EXPECT_NEAR(token[i], std::round(x[i] * 127) / 127, 1e-6f);
    EXPECT_NEAR(fixed[i], std::clamp(std::round(x[i] * 1000), -127.f, 127.f) / 1000, 1e-6f);
  }
}

TEST(RoundRows, ZerosAndNoNumbers) {
  std::vector<float> x(kK, 0);
  EXPECT_EQ(round_rows(x.data(), 1, kK, {Activations::kInt8Block32}, kBlock), x);
  x[0] = 127;
  x[1] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(round_rows(x.data(), 1, kK, {Activations::kInt8Block32}, kBlock)[1], -127);
}

TEST(RoundedLinear, MultipliesWhatWasRounded) {
  std::vector<float> x = two_sizes(), y(kRows * kN), bias{1, 2, 3};
  InputRule rule{Activations::kInt8Block32};
  auto linear = make_decoded_linear(std::make_shared<Ramp>(), bias, rule);
  ASSERT_EQ(linear->arithmetic(), Arithmetic::kRoundedInput);
  LinearInput in(x.data(), kRows, kK);
  linear->run(in, y.data(), kN);
  std::vector<float> rounded = round_rows(x.data(), kRows, kK, rule, kBlock);
  for (int64_t r = 0; r < kRows; ++r)
    for (int64_t i = 0; i < kN; ++i) {
      double sum = bias[static_cast<size_t>(i)];
      for (int64_t j = 0; j < kK; ++j)
        sum += static_cast<double>(rounded[static_cast<size_t>(r * kK + j)]) *
               static_cast<double>(i + j);
      EXPECT_NEAR(y[static_cast<size_t>(r * kN + i)], sum, 1e-3);
    }
  EXPECT_EQ(make_decoded_linear(std::make_shared<Ramp>(), {}, {})->arithmetic(),
            Arithmetic::kFloat);
}

TEST(RoundToGrid, CodesAreBytes) {
  Grid grid;
  grid.scale = .5f;
  grid.zero = 3;
  std::vector<float> x = {0, .2f, .3f, -.75f, -10, 1000, std::numeric_limits<float>::quiet_NaN()};
  std::vector<float> out(x.size());
  round_to_grid(x.data(), static_cast<int64_t>(x.size()), grid, out.data());
  EXPECT_EQ(out, (std::vector<float>{0, 0, .5f, -1, -1.5f, 126, -1.5f}));
}

TEST(GridLinear, RoundsWhatEntersAndWhatLeaves) {
  std::vector<float> x = two_sizes(), y(kRows * kN), bias{1, 2, 3};
  LinearGrids grids;
  grids.input.scale = 1 / 128.f;
  grids.input.zero = 128;
  grids.output.scale = 20;
  grids.output.zero = 100;
  auto linear = make_grid_linear(make_decoded_linear(std::make_shared<Ramp>(), bias, {}), grids);
  ASSERT_EQ(linear->arithmetic(), Arithmetic::kRoundedInput);
  LinearInput in(x.data(), kRows, kK);
  int64_t seen = 0;
  linear->run(in, y.data(), kN, [&](int64_t first, int64_t last) {
    seen += last - first;
    for (int64_t i = first; i < last; ++i)  // rounded before what follows sees it
      EXPECT_EQ(std::fmod(y[static_cast<size_t>(i)], 20.f), 0.f);
  });
  EXPECT_EQ(seen, kN);
  for (int64_t r = 0; r < kRows; ++r)
    for (int64_t i = 0; i < kN; ++i) {
      double sum = bias[static_cast<size_t>(i)];
      for (int64_t j = 0; j < kK; ++j) {
        double code = std::nearbyint(x[static_cast<size_t>(r * kK + j)] * 128);
        sum += std::clamp(code, -128., 127.) / 128 * static_cast<double>(i + j);
      }
      EXPECT_EQ(y[static_cast<size_t>(r * kN + i)],
                std::clamp(std::nearbyint(sum / 20), -100., 155.) * 20);
    }
}

}  // namespace
}  // namespace nibble
