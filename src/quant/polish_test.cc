#include "quant/polish.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "quant/grid_search.h"
#include "quant/python_random.h"

namespace nibble {
namespace {

FloatMatrix random_matrix(int64_t n, int64_t k, const char* scheme, uint32_t seed) {
  PythonRandom random(seed);
  FloatMatrix m{"m", n, k, std::vector<float>(static_cast<size_t>(n * k)), *Scheme::parse(scheme)};
  for (float& w : m.w) w = static_cast<float>(random.uniform() + random.uniform() - 1);
  return m;
}

// The Hessian of inputs that share a part, so that errors of different columns can cancel.
std::vector<float> correlated_hessian(int64_t k, uint32_t seed) {
  PythonRandom random(seed);
  InputStatistics s(k, InputStatistics::Need::kHessian);
  std::vector<float> x(static_cast<size_t>(3 * k * k));
  for (int64_t t = 0; t < 3 * k; ++t) {
    double shared = random.uniform() * 2 - 1;
    for (int64_t j = 0; j < k; ++j)
      x[static_cast<size_t>(t * k + j)] =
          static_cast<float>((shared + random.uniform()) * (j % 7 == 2 ? 4 : 1));
  }
  s.add(x.data(), 3 * k);
  EXPECT_TRUE(s.finish("layer"));
  return damped_hessian(s, .01);
}

// e' H e of one row, from the stored matrix alone.
double brute_force(const FloatMatrix& m, const QuantizedMatrix& q, const std::vector<float>& H,
                   int64_t row) {
  auto k = static_cast<size_t>(m.k);
  std::vector<float> values(k);
  q.dequantize(row, values.data());
  std::vector<double> e(k);
  for (size_t j = 0; j < k; ++j)
    e[j] = static_cast<double>(values[j]) - m.w[static_cast<size_t>(row) * k + j];
  double total = 0;
  for (size_t i = 0; i < k; ++i)
    for (size_t j = 0; j < k; ++j) total += e[i] * H[i * k + j] * e[j];
  return total;
}

QuantizedMatrix stored(const PolishRows& rows, const FloatMatrix& m) {
  QuantizedBuilder out(m.scheme, m.n, m.k);
  rows.store(out);
  return out.finish();
}

void no_step_raises(const char* scheme, int64_t k, const std::vector<float>& H, double bound) {
  constexpr int64_t kN = 12;
  FloatMatrix m = random_matrix(kN, k, scheme, 2);
  QuantizedMatrix start = round_to_nearest(m, minmax_grids(m));
  PolishRows rows(m, start, H, 0, kN);
  std::vector<double> before;
  for (int64_t r = 0; r < kN; ++r) before.push_back(brute_force(m, start, H, r));
  std::vector<double> first = before;
  auto check = [&](const char* step) {
    QuantizedMatrix now = stored(rows, m);
    for (int64_t r = 0; r < kN; ++r) {
      double error = brute_force(m, now, H, r);
      EXPECT_NEAR(rows.error(r), error, 1e-3 * error + 1e-6) << scheme << " " << step;
      EXPECT_LE(error, before[static_cast<size_t>(r)] * (1 + 1e-4)) << scheme << " " << step;
      before[static_cast<size_t>(r)] = error;
    }
  };
  for (int round = 0; round < 2; ++round) {
    EXPECT_GT(rows.sweep_codes(), 0);
    check("codes");
    rows.refit_scales();
    check("scales");
    rows.search_grids();
    check("grids");
  }
  EXPECT_LT(std::accumulate(before.begin(), before.end(), 0.),
            bound * std::accumulate(first.begin(), first.end(), 0.))
      << scheme;
}

TEST(Polish, NoStepRaisesARowsError) {
  auto H = correlated_hessian(172, 1);
  for (const char* scheme : {"w2g16-asym", "w3g64-asym", "w4g24", "w4", "w4g32-full", "w8"})
    no_step_raises(scheme, 172, H, .85);
}

TEST(Polish, NoStepRaisesARowsErrorInBlocks) {
  auto H = correlated_hessian(512, 7);
  for (const char* scheme :
       {"q4_0", "q4_1", "q5_1", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl", "iq4_xs"})
    no_step_raises(scheme, 512, H, .85);
}

// The gradient of e' H e for each group's scale vanishes at the least squares solution; with
// float32 scales the rounded ones are there.
TEST(Polish, RefitIsTheLeastSquaresSolution) {
  constexpr int64_t kN = 5, kK = 90, kGroup = 24;
  auto H = correlated_hessian(kK, 3);
  FloatMatrix m = random_matrix(kN, kK, "w3g24-asym", 4);
  m.scheme.scale_type = DType::kF32;
  QuantizedMatrix start = round_to_nearest(m, minmax_grids(m));
  PolishRows rows(m, start, H, 0, kN);
  EXPECT_EQ(rows.refit_scales(), kN);
  QuantizedMatrix q = stored(rows, m);
  std::vector<uint8_t> codes(kK);
  std::vector<float> values(kK);
  auto slopes = [&](const QuantizedMatrix& of, int64_t r) {
    of.codes(r, codes.data());
    of.dequantize(r, values.data());
    double largest = 0;
    for (int64_t g = 0; g < of.groups(); ++g) {
      double slope = 0;
      for (int64_t i = g * kGroup; i < std::min(kK, (g + 1) * kGroup); ++i)
        for (int64_t j = 0; j < kK; ++j)
          slope += (codes[static_cast<size_t>(i)] - of.grid(r, g).zero) *
                   static_cast<double>(H[static_cast<size_t>(i * kK + j)]) *
                   (values[static_cast<size_t>(j)] - m.w[static_cast<size_t>(r * kK + j)]);
      largest = std::max(largest, std::fabs(slope));
    }
    return largest;
  };
  for (int64_t r = 0; r < kN; ++r) EXPECT_LT(slopes(q, r), 1e-3 * slopes(start, r)) << r;
}

TEST(Polish, OneScaleForAMatrixStays) {
  auto H = correlated_hessian(40, 5);
  FloatMatrix m = random_matrix(6, 40, "w4t", 6);
  QuantizedMatrix start = round_to_nearest(m, minmax_grids(m)), q = polish(m, start, H);
  EXPECT_EQ(q.grid(3, 0).scale, start.grid(0, 0).scale);
  double before = 0, after = 0;
  for (int64_t r = 0; r < 6; ++r) {
    before += brute_force(m, start, H, r);
    after += brute_force(m, q, H, r);
  }
  EXPECT_LT(after, before);
}

}  // namespace
}  // namespace nibble
