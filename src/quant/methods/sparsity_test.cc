#include "quant/methods/sparsity.h"

#include <gtest/gtest.h>

#include <random>

#include "base/test_util.h"
#include "quant/block_pass.h"

namespace nibble {
namespace {

constexpr int64_t kN = 24, kK = 200;

FloatMatrix matrix(const char* scheme) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  FloatMatrix m{"m", kN, kK, std::vector<float>(kN * kK), *Scheme::parse(scheme)};
  for (float& w : m.w) w = normal(random);
  return m;
}

// Inputs whose columns hang together and differ in size.
InputStatistics statistics() {
  std::mt19937 random(4);
  std::normal_distribution<float> normal;
  InputStatistics s(kK, InputStatistics::Need::kHessian);
  std::vector<float> x(600 * kK);
  for (size_t i = 0; i < x.size(); ++i) {
    size_t column = i % kK;
    x[i] = normal(random) * (1.f + static_cast<float>(column % 7)) / 4;
    if (column > 0) x[i] += .8f * x[i - 1];
  }
  s.add(x.data(), 600);
  EXPECT_TRUE(s.finish("m"));
  return s;
}

QuantizedMatrix run(const char* method, const FloatMatrix& m, const InputStatistics& s,
                    const char* sparsity) {
  MethodOptions options;
  options.sparsity = *parse_sparsity(sparsity);
  auto result = (*find_method(method))->quantize(std::span(&m, 1), &s, options);
  EXPECT_TRUE(succeeds(result));
  return std::move(result->matrices[0]);
}

std::vector<float> values(const QuantizedMatrix& q) {
  std::vector<float> out(kN * kK);
  for (int64_t r = 0; r < kN; ++r) q.dequantize(r, out.data() + r * kK);
  return out;
}

TEST(Sparsity, TwoOfFourInEveryRow) {
  auto s = statistics();
  for (const char* method : {"sparsegpt", "wanda"})
    for (const char* scheme : {"w4g64", "w4g64-asym", "w8"}) {
      auto v = values(run(method, matrix(scheme), s, "2:4"));
      for (size_t i = 0; i < v.size(); i += 4)
        EXPECT_GE(std::count(v.begin() + i, v.begin() + i + 4, 0.f), 2) << method << " at " << i;
    }
}

TEST(Sparsity, TheShareIsReachedAndZeroesAreExact) {
  auto s = statistics();
  for (const char* method : {"sparsegpt", "wanda"}) {
    auto v = values(run(method, matrix("w8"), s, "0.5"));
    double zeros = static_cast<double>(std::count(v.begin(), v.end(), 0.f)) / (kN * kK);
    EXPECT_GE(zeros, .495) << method;
    EXPECT_LT(zeros, .56) << method;
  }
}

TEST(Sparsity, ErrorPropagationBeatsMasksAlone) {
  auto s = statistics();
  FloatMatrix m = matrix("w4g64-asym");
  for (const char* sparsity : {"0.5", "2:4"}) {
    double joint = relative_error(m, run("sparsegpt", m, s, sparsity), &s);
    double masks = relative_error(m, run("wanda", m, s, sparsity), &s);
    EXPECT_LT(joint, .8 * masks) << sparsity;
  }
}

TEST(Sparsity, NothingPrunedIsGptqInNaturalOrder) {
  auto s = statistics();
  FloatMatrix m = matrix("w4g64-asym");
  MethodOptions natural;
  natural.order = ColumnOrder::kNatural;
  auto gptq = (*find_method("gptq"))->quantize(std::span(&m, 1), &s, natural);
  ASSERT_TRUE(succeeds(gptq));
  EXPECT_EQ(values(run("sparsegpt", m, s, "0")), values(gptq->matrices[0]));
}

TEST(Sparsity, WordsAreRead) {
  EXPECT_EQ(sparsity_text(*parse_sparsity("2:4")), "2:4");
  EXPECT_EQ(parse_sparsity("1:4")->share, .75);
  EXPECT_EQ(sparsity_text(*parse_sparsity("0.5")), "0.5");
  for (const char* bad : {"", "1", "-0.1", "4:2", "2:3", "2:", ":4", "2:4:8", "x"})
    EXPECT_TRUE(fails_with(parse_sparsity(bad), "is not a sparsity")) << bad;
}

}  // namespace
}  // namespace nibble
