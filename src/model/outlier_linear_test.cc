#include "model/outlier_linear.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "base/file.h"
#include "base/test_util.h"

namespace nibble {
namespace {

constexpr int64_t kN = 24, kK = 96, kRows = 7;

struct Case {
  QuantizedMatrix w;
  std::vector<float> values;  // (n, k), dequantized
  std::vector<float> x;       // (rows, k)
};

// Columns 5 and 70 of x hold values around 50 and 20, all else lies within 1.
Case make_case(const char* scheme_name) {
  std::mt19937 rng(1);
  std::uniform_real_distribution<float> unit(-1, 1);
  Scheme scheme = *Scheme::parse(scheme_name);
  QuantizedBuilder builder(scheme, kN, kK);
  std::vector<uint8_t> codes(kK);
  std::vector<Grid> grids(static_cast<size_t>(scheme.groups(kK)), {.015625f, 128});
  for (int64_t i = 0; i < kN; ++i) {
    for (auto& code : codes) code = static_cast<uint8_t>(1 + rng() % 255);
    builder.set_row(i, codes.data(), grids);
  }
  Case c{builder.finish(), std::vector<float>(kN * kK), std::vector<float>(kRows * kK)};
  for (int64_t i = 0; i < kN; ++i) c.w.dequantize(i, c.values.data() + i * kK);
  for (float& v : c.x) v = unit(rng);
  for (size_t r = 0; r < kRows; ++r) {
    c.x[r * kK + 5] = 50 + unit(rng);
    c.x[r * kK + 70] = r == 3 ? -20.f : unit(rng);
  }
  return c;
}

// The largest difference from the exact product, over the largest value of that.
double error(const Case& c, const Linear& linear, float bias) {
  std::vector<float> y(kRows * kN);
  LinearInput in(c.x.data(), kRows, kK);
  linear.run(in, y.data(), kN);
  double worst = 0, top = 0;
  for (size_t r = 0; r < kRows; ++r)
    for (size_t i = 0; i < kN; ++i) {
      double exact = bias;
      for (size_t j = 0; j < kK; ++j)
        exact += static_cast<double>(c.x[r * kK + j]) * c.values[i * kK + j];
      worst = std::max(worst, std::fabs(exact - y[r * kN + i]));
      top = std::max(top, std::fabs(exact));
    }
  return worst / top;
}

std::unique_ptr<Linear> make(const Case& c, InputRule rule, float bias) {
  return *make_quantized_linear(c.w, std::vector<float>(kN, bias), rule, nullptr);
}

TEST(OutlierSplit, FindsColumnsOfTheBatch) {
  Case c = make_case("w8");
  OutlierSplit split = split_outliers(c.x.data(), kRows, kK, {Activations::kInt8Token, 0, 6}, {});
  EXPECT_EQ(split.columns, (std::vector<int64_t>{5, 70}));
  ASSERT_EQ(split.outliers.size(), 2u * kRows);
  EXPECT_EQ(split.outliers[7], -20);
}

TEST(OutlierLinear, KeepsOutliersExact) {
  for (const char* scheme : {"w8", "w8g32"}) {
    Case c = make_case(scheme);
    for (Activations mode : {Activations::kInt8Token, Activations::kInt8Block32}) {
      double plain = error(c, *make(c, {mode, 0, 0}, 3), 3);
      double split = error(c, *make(c, {mode, 0, 6}, 3), 3);
      EXPECT_LT(split, .0015) << scheme;
      if (mode == Activations::kInt8Token) EXPECT_GT(plain, 8 * split) << scheme;
    }
  }
}

// What the codes lost: column 5 as floats of its own, 1000 steps finer than the grid.
TEST(OutlierLinear, TakesStoredColumnsFromTheirFloats) {
  Case c = make_case("w8");
  FloatColumns kept{{5, 40}, {}};
  for (size_t i = 0; i < kN; ++i)
    for (size_t j : {5, 40}) {
      c.values[i * kK + j] += .007f;
      kept.w.push_back(c.values[i * kK + j]);
    }
  InputRule rule{Activations::kInt8Token, 0, 6};
  auto with = *make_quantized_linear(c.w, std::vector<float>(kN, 0.f), rule, nullptr, kept);
  EXPECT_LT(error(c, *with, 0), .0015);
  EXPECT_GT(error(c, *make(c, rule, 0), 0), .002);
}

TEST(OutlierLinear, WithoutOutliersItIsThePlainProduct) {
  Case c = make_case("w8");
  std::vector<float> a(kRows * kN), b(a);
  LinearInput in(c.x.data(), kRows, kK);
  make(c, {Activations::kInt8Token, 0, 1000}, 1)->run(in, a.data(), kN);
  make(c, {Activations::kInt8Token, 0, 0}, 1)->run(in, b.data(), kN);
  EXPECT_EQ(a, b);
}

// 127 * 127 in every product, both signs: instructions that add pairs of u8 * s8 in 16 bits would
// saturate at 32767 < 2 * 255 * 127.
TEST(StaticInputs, ExtremeCodesDoNotSaturate) {
  Scheme scheme = *Scheme::parse("w8");
  QuantizedBuilder builder(scheme, 2, kK);
  Grid grid{.0078125f, 128};
  std::vector<uint8_t> high(kK, 255), low(kK, 1);
  builder.set_row(0, high.data(), std::span(&grid, 1));
  builder.set_row(1, low.data(), std::span(&grid, 1));
  auto linear =
      *make_quantized_linear(builder.finish(), {}, {Activations::kInt8Static, .5f, 0}, nullptr);
  ASSERT_EQ(linear->arithmetic(), Arithmetic::kInteger);
  for (float x : {63.5f, 1e6f, -63.5f, -1e30f}) {  // 63.5 is code 127, the rest is clipped to it
    std::vector<float> rows(5 * kK, x), y(10);
    LinearInput in(rows.data(), 5, kK);
    linear->run(in, y.data(), 2);
    float expected = 127.f * 127.f * kK * .5f * .0078125f * (x > 0 ? 1.f : -1.f);
    for (size_t i = 0; i < y.size(); ++i) EXPECT_EQ(y[i], i % 2 ? -expected : expected);
  }
}

TEST(InputRules, AreReadFromNibbleJson) {
  TempFolder folder;
  ASSERT_TRUE(InputRules::read(folder.path()));
  ASSERT_TRUE(write_file(folder / "nibble.json",
                         R"({"int8_threshold": 6.0, "float_inputs": ["down_proj"]})"));
  auto rules = InputRules::read(folder.path());
  ASSERT_TRUE(rules);
  EXPECT_EQ(rules->threshold, 6);
  EXPECT_TRUE(rules->keeps_float("model.layers.3.mlp.down_proj"));
  EXPECT_FALSE(rules->keeps_float("model.layers.3.mlp.updown_proj"));
  EXPECT_FALSE(rules->keeps_float("model.layers.3.mlp.up_proj"));
}

TEST(InputRules, RefuseNonsense) {
  TempFolder folder;
  for (auto [text, part] : {std::pair{R"([1])", "object"},
                            {R"({"int8_threshold": -1})", "int8_threshold"},
                            {R"({"int8_threshold": "6"})", "int8_threshold"},
                            {R"({"float_inputs": "down"})", "float_inputs"},
                            {R"({"float_inputs": ["../x"]})", "module names"}}) {
    ASSERT_TRUE(write_file(folder / "nibble.json", text));
    EXPECT_TRUE(fails_with(InputRules::read(folder.path()), part)) << text;
  }
}

}  // namespace
}  // namespace nibble
