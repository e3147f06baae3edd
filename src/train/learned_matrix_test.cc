#include "train/learned_matrix.h"

#include "base/test_util.h"
#include "formats/ggml_quantize.h"

namespace nibble {
namespace {

QuantizedMatrix round_matrix(const Scheme& scheme, int64_t n, int64_t k,
                             const std::vector<float>& w) {
  if (scheme.blocks) {
    int64_t row = QuantizedMatrix::row_bytes(scheme, k);
    std::vector<std::byte> bytes(static_cast<size_t>(n * row));
    ggml_quantize(*scheme.blocks, w.data(), n * k, bytes.data());
    return QuantizedMatrix::of_blocks(scheme, n, k,
                                      own_bytes(DType::kU8, {n, row}, std::move(bytes)));
  }
  QuantizedBuilder out(scheme, n, k);
  int64_t size = scheme.group_size(k);
  for (int64_t r = 0; r < n; ++r) {
    std::vector<Grid> grids;
    for (int64_t g = 0; g < scheme.groups(k); ++g)
      grids.push_back(
          fit_minmax(std::span(w).subspan(static_cast<size_t>(r * k + g * size),
                                          static_cast<size_t>(std::min(size, k - g * size))),
                     scheme));
    std::vector<uint8_t> codes;
    for (int64_t j = 0; j < k; ++j)
      codes.push_back(static_cast<uint8_t>(
          encode(w[static_cast<size_t>(r * k + j)], grids[static_cast<size_t>(j / size)], scheme)));
    out.set_row(r, codes.data(), grids);
  }
  return out.finish();
}

std::vector<float> values(const QuantizedMatrix& q) {
  std::vector<float> out(static_cast<size_t>(q.rows() * q.cols()));
  for (int64_t r = 0; r < q.rows(); ++r) q.dequantize(r, out.data() + r * q.cols());
  return out;
}

class LearnedMatrixTest : public testing::TestWithParam<const char*> {
 protected:
  Scheme scheme = Scheme::parse(GetParam()).value();
  int64_t n = 5, k = scheme.blocks ? 512 : 40;  // the latter: a short last group
  std::vector<float> w = [this] {
    std::vector<float> v;
    for (int64_t i = 0; i < n * k; ++i) v.push_back(std::sin(static_cast<float>(i * i)));
    return v;
  }();
  QuantizedMatrix first = round_matrix(scheme, n, k, w);
};

TEST_P(LearnedMatrixTest, StartsAsTheMatrixItWasGiven) {
  LearnedMatrix m(first, w.data());
  EXPECT_EQ(values(m.finish()), values(first));
  std::vector<float> now(w.size());
  m.values(now.data());
  EXPECT_EQ(now, values(first));
}

// 2 L of L = |now - target|^2 / 2, and its gradient.
double loss_of(const std::vector<float>& now, const std::vector<float>& target,
               std::vector<float>& gradient) {
  double sum = 0;
  for (size_t i = 0; i < now.size(); ++i) {
    gradient[i] = now[i] - target[i];
    sum += static_cast<double>(gradient[i]) * gradient[i];
  }
  return sum;
}

// L = |W - target|^2 / 2, target one code up for every weight that can go there.
TEST_P(LearnedMatrixTest, GoesWhereTheGradientLeads) {
  LearnedMatrix m(first, w.data());
  std::vector<float> target = values(first), now = target, gradient(target.size());
  std::vector<uint8_t> codes(static_cast<size_t>(k));
  for (int64_t r = 0; r < n; ++r) {
    first.codes(r, codes.data());
    for (int64_t j = 0; j < k; ++j)
      if (codes[static_cast<size_t>(j)] < scheme.max_code())
        target[static_cast<size_t>(r * k + j)] += first.grid(r, j / scheme.group_size(k)).scale;
  }
  auto loss = [&] { return loss_of(now, target, gradient); };
  double before = loss();
  for (int64_t step = 1; step <= 60; ++step) {
    m.learn(gradient.data(), {.02f, step}, {.001f, step});
    m.values(now.data());
    loss();
  }
  EXPECT_LT(loss(), .3 * before);
  EXPECT_EQ(values(m.finish()), now);
}

// The target is what another grid of the same form can hold; the levels are no straight line.
TEST(LearnedMatrix, LevelsLearnToo) {
  for (const char* name : {"iq4_nl", "iq4_xs"}) {
    Scheme scheme = Scheme::parse(name).value();
    constexpr int64_t kN = 4, kK = 256;
    std::vector<float> w, target, now(kN * kK), gradient(kN * kK);
    for (int64_t i = 0; i < kN * kK; ++i) w.push_back(std::sin(static_cast<float>(i * i)));
    for (float v : w) target.push_back(1.1f * v + .05f);
    QuantizedMatrix first = round_matrix(scheme, kN, kK, w);
    LearnedMatrix m(first, w.data());
    m.values(now.data());
    EXPECT_EQ(now, values(first)) << name;
    auto loss = [&] { return loss_of(now, target, gradient); };
    double before = loss();
    for (int64_t step = 1; step <= 80; ++step) {
      m.learn(gradient.data(), {.02f, step}, {.002f, step});
      m.values(now.data());
      loss();
    }
    EXPECT_LT(loss(), .5 * before) << name;
    EXPECT_EQ(values(m.finish()), now) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Schemes, LearnedMatrixTest,
                         testing::Values("w4g16", "w4g16-asym", "w2g16-asym", "w3-full", "w8",
                                         "w4t", "q4_0", "q4_1", "q2_k", "q3_k", "q4_k", "q6_k"));

}  // namespace
}  // namespace nibble
