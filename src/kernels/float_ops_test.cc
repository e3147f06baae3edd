// Every table's float operations against plain double arithmetic, over remainders, windows and all
// types of cache.
#include "kernels/float_ops.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "kernels/registry.h"
#include "tensor/dtype.h"

namespace nibble {
namespace {

std::vector<float> random_floats(int64_t count, unsigned seed) {
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal;
  std::vector<float> out(static_cast<size_t>(count));
  for (float& v : out) v = normal(rng);
  return out;
}

class FloatOpsTest : public testing::TestWithParam<const KernelTable*> {
 protected:
  const FloatOps& ops() const { return *GetParam()->floats; }
};

TEST_P(FloatOpsTest, NormDividesByTheRootMeanSquare) {
  for (int64_t n : {1, 7, 8, 20, 64, 2047}) {
    auto x = random_floats(n, 1), w = random_floats(n, 2), y = x;
    double squares = 0;
    for (float v : x) squares += double{v} * v;
    double scale = 1 / std::sqrt(squares / static_cast<double>(n) + 1e-5);
    ops().rms_norm(y.data(), n, w.data(), 1e-5, y.data());
    for (size_t i = 0; i < x.size(); ++i)
      ASSERT_NEAR(y[i], x[i] * scale * w[i], 1e-5) << "n=" << n << " i=" << i;
  }
}

TEST_P(FloatOpsTest, RotatesPairs) {
  for (int64_t half : {1, 5, 8, 12, 16, 64}) {
    auto x = random_floats(2 * half, 1), c = random_floats(half, 2), s = random_floats(half, 3);
    auto check = [&](auto rotate, size_t step, size_t apart) {
      auto y = x;
      rotate(y.data(), c.data(), s.data(), half);
      for (size_t pair = 0; pair < c.size(); ++pair) {
        size_t i = pair * step, j = i + apart;
        ASSERT_NEAR(y[i], x[i] * c[pair] - x[j] * s[pair], 1e-5) << half << " " << pair;
        ASSERT_NEAR(y[j], x[j] * c[pair] + x[i] * s[pair], 1e-5) << half << " " << pair;
      }
    };
    check(ops().rotate, 1, c.size());
    check(ops().rotate_neighbors, 2, 1);
  }
}

double activated(Activation f, double x) {
  switch (f) {
    case Activation::kSilu:
      return x / (1 + std::exp(-x));
    case Activation::kGelu:
      return x * .5 * std::erfc(-x / std::sqrt(2));
    case Activation::kGeluTanh:
      return .5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + .044715 * x * x * x)));
    case Activation::kGeluQuick:
      return x / (1 + std::exp(-1.702 * x));
    case Activation::kRelu:
      return x > 0 ? x : 0;
    case Activation::kRelu2:
      return x > 0 ? x * x : 0;
  }
  return 0;
}

TEST_P(FloatOpsTest, Activations) {
  std::vector<float> gate = {0, 1, -1, 20, -20, 88, -88, 1000, -1000, 0.5f, -3, 3, 1e-30f};
  auto n = static_cast<int64_t>(gate.size());
  for (Activation f : {Activation::kSilu, Activation::kGelu, Activation::kGeluTanh,
                       Activation::kGeluQuick, Activation::kRelu, Activation::kRelu2}) {
    std::vector<float> times(gate.size(), 2), alone = gate;
    ops().activate_times(f, gate.data(), n, times.data());
    ops().activate(f, n, alone.data());
    for (size_t i = 0; i < gate.size(); ++i) {
      double want = activated(f, gate[i]), near = 1e-5 + 1e-6 * std::fabs(want);
      EXPECT_NEAR(alone[i], want, near) << static_cast<int>(f) << " of " << gate[i];
      EXPECT_NEAR(times[i], 2 * want, 2 * near) << static_cast<int>(f) << " of " << gate[i];
    }
  }
}

TEST_P(FloatOpsTest, LayerNormTakesTheMeanOut) {
  for (int64_t n : {1, 7, 8, 20, 64, 2047}) {
    auto x = random_floats(n, 1), w = random_floats(n, 2), b = random_floats(n, 3);
    for (float& v : x) v += 100;
    double mean = 0, squares = 0;
    for (float v : x) mean += v / static_cast<double>(n);
    for (float v : x) squares += (v - mean) * (v - mean) / static_cast<double>(n);
    for (const float* bias : {b.data(), static_cast<float*>(nullptr)}) {
      auto y = x;
      ops().layer_norm(y.data(), n, w.data(), bias, 1e-5, y.data());
      for (size_t i = 0; i < x.size(); ++i)
        ASSERT_NEAR(y[i], (x[i] - mean) / std::sqrt(squares + 1e-5) * w[i] + (bias ? b[i] : 0),
                    3e-4)
            << "n=" << n << " i=" << i;
    }
  }
}

// Numbers of `type`, stored, and as floats again.
std::vector<uint8_t> stored(FloatType type, std::vector<float>& x) {
  size_t size = type == FloatType::kF32 ? 4 : 2;
  std::vector<uint8_t> out(x.size() * size + 1);
  for (size_t i = 0; i < x.size(); ++i) {
    uint16_t half = type == FloatType::kF16 ? float_to_f16(x[i]) : float_to_bf16(x[i]);
    if (size == 2) x[i] = type == FloatType::kF16 ? f16_to_float(half) : bf16_to_float(half);
    // One byte off: weights lie in files as they come.
    std::memcpy(out.data() + 1 + i * size, size == 4 ? static_cast<void*>(&x[i]) : &half, size);
  }
  return out;
}

TEST_P(FloatOpsTest, DotsRowsAsStored) {
  for (FloatType type : {FloatType::kF32, FloatType::kF16, FloatType::kBF16})
    for (int64_t k : {1, 15, 16, 33, 640})
      for (int64_t columns : {1, 2, 3, 4})
        for (int64_t rows : {1, 2, 5}) {
          auto w = random_floats(rows * k, 1), x = random_floats(columns * k, 2);
          w[0] = 1e-6f;  // a subnormal float16
          auto bytes = stored(type, w);
          int64_t ldy = rows + 3;
          std::vector<float> y(static_cast<size_t>(columns * ldy));
          ops().dot_rows(type, bytes.data() + 1, rows, k, x.data(), columns, y.data(), ldy);
          for (int64_t c = 0; c < columns; ++c)
            for (int64_t r = 0; r < rows; ++r) {
              double want = 0;
              for (int64_t i = 0; i < k; ++i)
                want +=
                    double{w[static_cast<size_t>(r * k + i)]} * x[static_cast<size_t>(c * k + i)];
              ASSERT_NEAR(y[static_cast<size_t>(c * ldy + r)], want, 1e-4);
            }
        }
}

// Of 16 rows of x each, as Bf16Products::cut makes them.
std::vector<uint16_t> cut_rows(const Bf16Products& products, const std::vector<float>& x,
                               int64_t rows, int64_t k) {
  int64_t size = kBf16Parts * kBf16Rows * k;
  std::vector<uint16_t> parts(static_cast<size_t>((rows + 15) / 16 * size));
  for (int64_t r = 0; r < rows; r += kBf16Rows)
    products.cut(x.data() + r * k, std::min(kBf16Rows, rows - r), k,
                 parts.data() + r / kBf16Rows * size);
  return parts;
}

// Tables that have such products.
class Bf16ProductsTest : public FloatOpsTest {};

TEST_P(Bf16ProductsTest, MultipliesManyRows) {
  const Bf16Products* products = GetParam()->bf16;
  for (int64_t n : {16, 48})
    for (int64_t k : {32, 96, 640})
      for (int64_t rows : {1, 15, 16, 17, 33, 64}) {
        auto w = random_floats(n * k, 1), x = random_floats(rows * k, 2);
        auto bytes = stored(FloatType::kBF16, w);
        auto parts = cut_rows(*products, x, rows, k);
        int64_t ldy = n + 3;
        std::vector<float> y(static_cast<size_t>(rows * ldy), 7);
        products->multiply(bytes.data() + 1, n, k, parts.data(), rows, y.data(), ldy);
        for (int64_t r = 0; r < rows; ++r) {
          for (int64_t i = 0; i < n; ++i) {
            double want = 0;
            for (int64_t j = 0; j < k; ++j)
              want += double{w[static_cast<size_t>(i * k + j)]} * x[static_cast<size_t>(r * k + j)];
            ASSERT_NEAR(y[static_cast<size_t>(r * ldy + i)], want, 1e-4) << n << " " << k;
          }
          for (int64_t i = n; i < ldy; ++i) ASSERT_EQ(y[static_cast<size_t>(r * ldy + i)], 7);
        }
      }
}

// All 24 bits of an activation count, whatever its size; what is not finite stays so.
TEST_P(Bf16ProductsTest, PartsHoldAllOfAFloat) {
  const Bf16Products* products = GetParam()->bf16;
  const int64_t k = 32, n = 16;
  std::vector<float> x = {1.f + 0x1p-23f,   -3.14159274f, 3.4e38f, 1e-20f, 0.f,
                          -0x1.fffffep-60f, INFINITY,     NAN};
  auto rows = static_cast<int64_t>(x.size());
  std::vector<float> alone(static_cast<size_t>(rows * k)), w(static_cast<size_t>(n * k), 1);
  for (size_t r = 0; r < x.size(); ++r) alone[r * k + r] = x[r];
  auto bytes = stored(FloatType::kBF16, w);
  std::vector<float> y(static_cast<size_t>(rows * n));
  auto parts = cut_rows(*products, alone, rows, k);
  products->multiply(bytes.data() + 1, n, k, parts.data(), rows, y.data(), n);
  for (size_t r = 0; r < x.size(); ++r)
    for (size_t i = 0; i < 16; ++i)
      if (std::isnan(x[r]))
        EXPECT_TRUE(std::isnan(y[r * 16 + i]));
      else
        EXPECT_EQ(y[r * 16 + i], x[r]);
}

struct Case {
  int64_t head_dim, heads, tokens, first, window;
  KvType type;
  double softcap = 0, slope = 0;  // of the first head; the second's is twice that, and so on
};

// A head's cache filled with random keys and values at [0, count).
struct Filled {
  std::vector<uint8_t> keys, values;
  std::vector<float> key_scales, value_scales, k, v;
  HeadCache cache;

  Filled(const FloatOps& ops, const Case& c) {
    int64_t count = c.first + c.tokens, capacity = (count + 7) / 8 * 8;
    int64_t stride = (c.head_dim + 7) / 8 * 8;
    // Memory that was never written may hold anything.
    keys.assign(static_cast<size_t>(capacity * c.head_dim * 4), 0xff);
    values.assign(static_cast<size_t>(capacity * stride * 4), 0);
    key_scales.assign(static_cast<size_t>(capacity), NAN);
    value_scales = key_scales;
    cache = {c.type,     keys.data(), values.data(), key_scales.data(), value_scales.data(),
             c.head_dim, stride};
    k = random_floats(count * c.head_dim, 5);
    v = random_floats(count * c.head_dim, 6);
    for (int64_t p = 0; p < count; ++p)
      ops.store_kv(cache, p, k.data() + p * c.head_dim, v.data() + p * c.head_dim);
  }
};

std::vector<double> attend_plainly(const Case& c, const Filled& f, const std::vector<float>& q,
                                   int64_t token, int64_t head) {
  int64_t d = c.head_dim, position = c.first + token;
  int64_t low = c.window > 0 ? std::max<int64_t>(0, position + 1 - c.window) : 0;
  std::vector<double> weights, out(static_cast<size_t>(d));
  double total = 0;
  const float* query = q.data() + (token * c.heads + head) * d;
  for (int64_t p = low; p <= position; ++p) {
    double score = 0;
    for (int64_t i = 0; i < d; ++i) score += double{query[i]} * f.k[static_cast<size_t>(p * d + i)];
    score *= 0.25;
    if (c.softcap > 0) score = c.softcap * std::tanh(score / c.softcap);
    score += c.slope * static_cast<double>((head + 1) * p);
    weights.push_back(std::exp(score));
    total += weights.back();
  }
  for (int64_t p = low; p <= position; ++p)
    for (int64_t i = 0; i < d; ++i)
      out[static_cast<size_t>(i)] +=
          weights[static_cast<size_t>(p - low)] / total * f.v[static_cast<size_t>(p * d + i)];
  return out;
}

void check(const FloatOps& ops, const Case& c) {
  SCOPED_TRACE(fmt::format("d={} heads={} tokens={} first={} window={} type={} softcap={} slope={}",
                           c.head_dim, c.heads, c.tokens, c.first, c.window,
                           static_cast<int>(c.type), c.softcap, c.slope));
  Filled f(ops, c);
  auto q = random_floats(c.tokens * c.heads * c.head_dim, 7);
  std::vector<float> out(q.size(), NAN);
  int64_t positions = (c.first + c.tokens + 7) / 8 * 8;
  std::vector<float> bias;
  for (int64_t i = 0; i < c.heads * positions; ++i)
    bias.push_back(static_cast<float>(c.slope) *
                   static_cast<float>((i / positions + 1) * (i % positions)));
  int64_t stride = c.heads * c.head_dim;
  AttentionTile t{.q = q.data(),
                  .out = out.data(),
                  .q_stride = stride,
                  .stride = stride,
                  .tokens = c.tokens,
                  .heads = c.heads,
                  .first = c.first,
                  .window = c.window,
                  .scale = 0.25f,
                  .softcap = static_cast<float>(c.softcap),
                  .bias = c.slope != 0 ? bias.data() : nullptr,
                  .bias_stride = positions,
                  .cache = f.cache};
  std::vector<float> scratch(static_cast<size_t>(attention_scratch(t)), NAN);
  ops.attend(t, scratch.data());
  double near = c.type == KvType::kF32 ? 1e-4 : c.type == KvType::kF16 ? 4e-3 : 8e-2;
  for (int64_t token = 0; token < c.tokens; ++token)
    for (int64_t head = 0; head < c.heads; ++head) {
      std::vector<double> want = attend_plainly(c, f, q, token, head);
      for (int64_t i = 0; i < c.head_dim; ++i)
        ASSERT_NEAR(out[static_cast<size_t>((token * c.heads + head) * c.head_dim + i)],
                    want[static_cast<size_t>(i)], near)
            << "token " << token << " head " << head << " dim " << i;
    }
}

TEST_P(FloatOpsTest, AttendsToWhatIsVisible) {
  for (KvType type : {KvType::kF32, KvType::kF16, KvType::kInt8})
    for (int64_t head_dim : {4, 16, 20, 64})
      for (int64_t heads : {1, 3, 8})
        for (int64_t tokens : {1, 9})
          for (int64_t first : {0, 5, 63, 64, 200})
            for (int64_t window : {0, 1, 7, 70}) {
              check(ops(), {head_dim, heads, tokens, first, window, type});
              if (HasFatalFailure()) return;
            }
}

TEST_P(FloatOpsTest, ScoresAreCappedAndBiased) {
  for (int64_t first : {0, 5, 64, 200})
    for (int64_t window : {0, 7}) {
      check(ops(), {20, 3, 9, first, window, KvType::kF32, 1.5, 0});
      check(ops(), {20, 3, 9, first, window, KvType::kF32, 0, .1});
      check(ops(), {16, 1, 1, first, window, KvType::kF16, 2, -.03});
      if (HasFatalFailure()) return;
    }
}

std::vector<const KernelTable*> tables_that_run_here() {
  std::vector<const KernelTable*> tables;
  for (const KernelTable* t : kernel_tables())
    if (runs_here(*t)) tables.push_back(t);
  return tables;
}

std::vector<const KernelTable*> tables_with_bf16() {
  std::vector<const KernelTable*> out = tables_that_run_here();
  std::erase_if(out, [](const KernelTable* t) { return !t->bf16; });
  return out;
}

INSTANTIATE_TEST_SUITE_P(Tables, FloatOpsTest, testing::ValuesIn(tables_that_run_here()),
                         [](const auto& p) { return std::string(p.param->name); });
INSTANTIATE_TEST_SUITE_P(Tables, Bf16ProductsTest, testing::ValuesIn(tables_with_bf16()),
                         [](const auto& p) { return std::string(p.param->name); });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Bf16ProductsTest);

}  // namespace
}  // namespace nibble
