// What every method of the list promises, over schemes and odd inputs.
#include <gtest/gtest.h>

#include <cmath>

#include "base/threads.h"
#include "quant/block_pass.h"
#include "quant/grid_search.h"
#include "quant/python_random.h"

namespace nibble {
namespace {

FloatMatrix random_matrix(int64_t n, int64_t k, const char* scheme, uint32_t seed) {
  PythonRandom random(seed);
  FloatMatrix m{"m", n, k, std::vector<float>(static_cast<size_t>(n * k)), *Scheme::parse(scheme)};
  for (float& w : m.w)
    w = static_cast<float>(random.uniform() + random.uniform() + random.uniform() - 1.5);
  return m;
}

// Inputs whose channels are correlated and of different size, as real ones are.
InputStatistics correlated(int64_t k, int64_t tokens, uint32_t seed) {
  PythonRandom random(seed);
  std::vector<float> x(static_cast<size_t>(tokens * k));
  for (int64_t t = 0; t < tokens; ++t) {
    auto shared = static_cast<float>(random.uniform() * 2 - .5);
    for (int64_t j = 0; j < k; ++j)
      x[static_cast<size_t>(t * k + j)] =
          (shared + static_cast<float>(random.uniform() * 2 - 1)) * (j % 16 == 3 ? 6.f : 1.f);
  }
  InputStatistics s(k, InputStatistics::Need::kHessian);
  s.add(x.data(), tokens);
  EXPECT_TRUE(s.finish("layer"));
  return s;
}

std::vector<uint8_t> all_codes(const QuantizedMatrix& q) {
  std::vector<uint8_t> out(static_cast<size_t>(q.rows() * q.cols()));
  for (int64_t r = 0; r < q.rows(); ++r) q.codes(r, out.data() + r * q.cols());
  return out;
}

constexpr const char* kSchemes[] = {"w2g16-asym", "w3g32",      "w4g32-asym", "w4",
                                    "w4t",        "w4g24-full", "w8"};

TEST(Methods, NoWorseThanRoundToNearest) {
  auto statistics = correlated(96, 400, 1);
  MethodOptions dense;
  dense.sparsity.share = 0;  // zeros cost more than rounding: sparsity_test.cc judges those
  for (const char* scheme : kSchemes) {
    FloatMatrix m = random_matrix(40, 96, scheme, 2);
    QuantizedMatrix rtn = round_to_nearest(m, minmax_grids(m));
    for (const Method& method : known_methods()) {
      auto result = method.quantize(std::span(&m, 1), &statistics, dense);
      ASSERT_TRUE(result) << method.name;
      // Methods without statistics answer for the weights' error, the others for the output's.
      const InputStatistics* judge =
          method.need == InputStatistics::Need::kNothing ? nullptr : &statistics;
      EXPECT_LE(relative_error(m, result->matrices[0], judge),
                relative_error(m, rtn, judge) * (judge ? 1 : 1.05))
          << method.name << " " << scheme;
    }
  }
}

// On ggml's grids each better method has a smaller error of the output than the one before it.
TEST(Methods, EachIsBetterInBlocks) {
  constexpr int64_t kK = 512;
  auto statistics = correlated(kK, 900, 16);
  for (const char* scheme : {"q4_0", "q4_1", "q5_0", "q5_1", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k",
                             "iq4_nl", "iq4_xs", "q8_0"}) {
    FloatMatrix m = random_matrix(24, kK, scheme, 17);
    double before = HUGE_VAL;
    for (const char* name : {"rtn", "rtn-imatrix", "gptq", "balanced"}) {
      auto result = (*find_method(name))->quantize(std::span(&m, 1), &statistics, {});
      ASSERT_TRUE(result) << name;
      double error = relative_error(m, result->matrices[0], &statistics);
      EXPECT_LT(error, before) << name << " " << scheme;
      before = error;
    }
  }
}

TEST(Methods, SameCodesForAnyThreadCount) {
  auto statistics = correlated(160, 300, 3);
  FloatMatrix m = random_matrix(70, 160, "w4g32-asym", 4);
  for (const Method& method : known_methods()) {
    std::vector<uint8_t> first;
    for (int threads : {1, 2, 5}) {
      set_threads(threads);
      auto result = method.quantize(std::span(&m, 1), &statistics, {});
      ASSERT_TRUE(result);
      auto codes = all_codes(result->matrices[0]);
      if (first.empty()) first = codes;
      EXPECT_EQ(first, codes) << method.name << " with " << threads << " threads";
    }
  }
  set_threads(0);
}

TEST(Methods, ZerosStayZeros) {
  auto statistics = correlated(64, 200, 5);
  for (const char* scheme : kSchemes) {
    FloatMatrix m = random_matrix(8, 64, scheme, 6);
    std::fill(m.w.begin() + 64, m.w.begin() + 128, 0.f);  // one row
    for (const Method& method : known_methods()) {
      auto result = method.quantize(std::span(&m, 1), &statistics, {});
      ASSERT_TRUE(result);
      std::vector<float> row(64);
      result->matrices[0].dequantize(1, row.data());
      for (float v : row) EXPECT_EQ(v, 0) << method.name << " " << scheme;
    }
  }
}

TEST(Methods, ZerosStayZerosInBlocks) {
  auto statistics = correlated(256, 400, 18);
  for (const char* scheme : {"q4_0", "q5_1", "q2_k", "q3_k", "q4_k", "q6_k", "iq4_xs"}) {
    FloatMatrix m = random_matrix(4, 256, scheme, 19);
    std::fill(m.w.begin() + 256, m.w.begin() + 512, 0.f);  // one row
    for (const Method& method : known_methods()) {
      if (!method.blocks) continue;
      auto result = method.quantize(std::span(&m, 1), &statistics, {});
      ASSERT_TRUE(result);
      std::vector<float> row(256);
      result->matrices[0].dequantize(1, row.data());
      for (float v : row) EXPECT_EQ(v, 0) << method.name << " " << scheme;
    }
  }
}

// GPTQ as the paper writes it, in float64 with the inverse Hessian formed and downdated column by
// column (OBQ's elimination), must choose the codes that the factored version chooses.
TEST(Gptq, EqualsTheTextbook) {
  constexpr int64_t kK = 48, kN = 6;
  auto s = correlated(kK, 300, 7);
  FloatMatrix m = random_matrix(kN, kK, "w3g16-asym", 8);
  MethodOptions options{.damping = .01, .order = ColumnOrder::kNatural};
  auto gptq = *find_method("gptq");
  auto result = gptq->quantize(std::span(&m, 1), &s, options);
  ASSERT_TRUE(result);
  std::vector<double> A(kK * kK), I(kK * kK);  // H and its inverse by Gauss-Jordan
  double mean = 0;
  for (int64_t j = 0; j < kK; ++j) mean += s.diagonal(j) / 300 / kK;
  for (int64_t i = 0; i < kK; ++i)
    for (int64_t j = 0; j < kK; ++j) {
      A[static_cast<size_t>(i * kK + j)] =
          s.hessian()[static_cast<size_t>(i * kK + j)] / 300 + (i == j ? .01 * mean : 0);
      I[static_cast<size_t>(i * kK + j)] = i == j;
    }
  for (int64_t p = 0; p < kK; ++p) {
    double d = A[static_cast<size_t>(p * kK + p)];
    for (int64_t j = 0; j < kK; ++j) {
      A[static_cast<size_t>(p * kK + j)] /= d;
      I[static_cast<size_t>(p * kK + j)] /= d;
    }
    for (int64_t r = 0; r < kK; ++r) {
      if (r == p) continue;
      double f = A[static_cast<size_t>(r * kK + p)];
      for (int64_t j = 0; j < kK; ++j) {
        A[static_cast<size_t>(r * kK + j)] -= f * A[static_cast<size_t>(p * kK + j)];
        I[static_cast<size_t>(r * kK + j)] -= f * I[static_cast<size_t>(p * kK + j)];
      }
    }
  }
  std::vector<uint8_t> codes = all_codes(result->matrices[0]), expected(codes.size());
  std::vector<double> W(m.w.begin(), m.w.end());
  for (int64_t i = 0; i < kK; ++i) {
    double pivot = I[static_cast<size_t>(i * kK + i)];
    for (int64_t r = 0; r < kN; ++r) {
      Grid g = result->matrices[0].grid(r, i / 16);
      int q = encode(static_cast<float>(W[static_cast<size_t>(r * kK + i)]), g, m.scheme);
      expected[static_cast<size_t>(r * kK + i)] = static_cast<uint8_t>(q);
      double e = (W[static_cast<size_t>(r * kK + i)] - decode(q, g)) / pivot;
      for (int64_t j = i; j < kK; ++j)
        W[static_cast<size_t>(r * kK + j)] -= e * I[static_cast<size_t>(i * kK + j)];
    }
    for (int64_t a = i + 1; a < kK; ++a)
      for (int64_t b = i + 1; b < kK; ++b)
        I[static_cast<size_t>(a * kK + b)] -=
            I[static_cast<size_t>(a * kK + i)] * I[static_cast<size_t>(i * kK + b)] / pivot;
  }
  EXPECT_EQ(codes, expected);
}

TEST(Gptq, EveryOrderBeatsRounding) {
  auto s = correlated(96, 500, 9);
  FloatMatrix m = random_matrix(32, 96, "w3g32-asym", 10);
  double rtn = relative_error(m, round_to_nearest(m, minmax_grids(m)), &s);
  for (ColumnOrder order : {ColumnOrder::kNatural, ColumnOrder::kActivation, ColumnOrder::kGar}) {
    auto result =
        (*find_method("gptq"))->quantize(std::span(&m, 1), &s, {.damping = .01, .order = order});
    ASSERT_TRUE(result);
    EXPECT_LT(relative_error(m, result->matrices[0], &s), .7 * rtn);
  }
}

// With a drift of zero there is nothing to shift; with one, codes follow it.
TEST(Gptaq, EqualsGptqWithoutADrift) {
  constexpr int64_t kK = 64, kTokens = 300;
  PythonRandom random(11);
  std::vector<float> x(kTokens * kK);
  for (float& v : x) v = static_cast<float>(random.uniform() * 2 - 1);
  auto gather = [&](float part) {
    InputStatistics s(kK, InputStatistics::Need::kDrift);
    s.add(x.data(), kTokens);
    std::vector<float> reference = x;
    for (float& v : reference) v *= 1 + part;
    s.add_drift(x.data(), reference.data(), kTokens);
    EXPECT_TRUE(s.finish("layer"));
    return s;
  };
  FloatMatrix m = random_matrix(20, kK, "w4g32-asym", 12), larger = m;
  auto codes = [&](const char* method, const FloatMatrix& w, float part) {
    auto s = gather(part);
    auto result = (*find_method(method))->quantize(std::span(&w, 1), &s, {});
    EXPECT_TRUE(result);
    return result->matrices[0];
  };
  EXPECT_EQ(all_codes(codes("gptaq", m, 0)), all_codes(codes("gptq", m, 0)));
  // Inputs that are larger by a factor in the float model ask for weights larger by a quarter of
  // that (but for damping).
  for (float& w : larger.w) w *= 1.1f;
  QuantizedMatrix drifted = codes("gptaq", m, .4f), wanted = codes("gptq", larger, 0);
  EXPECT_NEAR(relative_error(larger, drifted, nullptr), relative_error(larger, wanted, nullptr),
              .1 * relative_error(larger, wanted, nullptr));
}

TEST(Hqq, ForgivesOutliers) {
  for (const char* scheme : {"w3g64-asym", "w4g64", "w4g64-asym", "w2g64-asym"}) {
    FloatMatrix m = random_matrix(64, 128, scheme, 13);
    for (float& w : m.w) w = w * w * w * w * w;  // few are large
    auto result = (*find_method("hqq"))->quantize(std::span(&m, 1), nullptr, {});
    ASSERT_TRUE(result);
    auto mean_error = [&](const QuantizedMatrix& q) {
      double total = 0;
      std::vector<float> row(128);
      for (int64_t r = 0; r < m.n; ++r) {
        q.dequantize(r, row.data());
        for (size_t j = 0; j < row.size(); ++j)
          total += std::fabs(row[j] - m.w[static_cast<size_t>(r) * row.size() + j]);
      }
      return total;
    };
    QuantizedMatrix nearest = round_to_nearest(m, minmax_grids(m));
    EXPECT_LT(mean_error(result->matrices[0]), .985 * mean_error(nearest)) << scheme;
    EXPECT_LT(relative_error(m, result->matrices[0], nullptr), relative_error(m, nearest, nullptr))
        << scheme;
  }
}

TEST(Balanced, LowersGptqsError) {
  auto s = correlated(96, 500, 14);
  for (const char* scheme : {"w2g32-asym", "w3g24-asym", "w4g32", "w4", "w4g4-asym"}) {
    FloatMatrix m = random_matrix(40, 96, scheme, 15);
    auto error = [&](const char* method) {
      auto result = (*find_method(method))->quantize(std::span(&m, 1), &s, {});
      EXPECT_TRUE(result);
      return relative_error(m, result->matrices[0], &s);
    };
    EXPECT_LT(error("balanced"), .99 * error("gptq")) << scheme;
  }
}

TEST(Methods, UnknownNameListsTheKnown) {
  auto m = find_method("magic");
  ASSERT_FALSE(m);
  EXPECT_NE(m.error().message.find("rtn-imatrix"), std::string::npos);
}

}  // namespace
}  // namespace nibble
