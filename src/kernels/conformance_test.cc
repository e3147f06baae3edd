// Every table against the definition in kernels.h, computed here from the canonical matrix, bit for
// bit: all layouts, remainders of k and n, extreme codes, zero points and activations.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "base/threads.h"
#include "kernels/pack.h"
#include "kernels/registry.h"
#include "kernels/rows.h"

namespace nibble {
namespace {

enum class Fill { kRandom, kHighest, kLowest, kAlternating };

struct Case {
  std::string scheme;
  int64_t n, k, m;
  Fill fill;
  Activations mode;
  bool bias;
};

int code_for(const Scheme& s, Fill fill, int64_t i, std::mt19937& rng) {
  switch (fill) {
    case Fill::kHighest:
      return s.max_code();
    case Fill::kLowest:
      return s.min_code();
    case Fill::kAlternating:
      return i % 2 ? s.min_code() : s.max_code();
    case Fill::kRandom:
      break;
  }
  return std::uniform_int_distribution<int>(s.min_code(), s.max_code())(rng);
}

QuantizedMatrix make_matrix(const Case& c, DType scale_type, std::mt19937& rng) {
  Scheme s = *Scheme::parse(c.scheme);
  s.scale_type = scale_type;
  QuantizedBuilder builder(s, c.n, c.k);
  std::uniform_real_distribution<float> scale(0.001f, 0.1f);
  std::vector<uint8_t> codes(static_cast<size_t>(c.k));
  int64_t groups = s.group == Scheme::kTensor ? 1 : s.groups(c.k);
  for (int64_t row = 0; row < c.n; ++row) {
    for (int64_t i = 0; i < c.k; ++i)
      codes[static_cast<size_t>(i)] = static_cast<uint8_t>(code_for(s, c.fill, i, rng));
    std::vector<Grid> grids(static_cast<size_t>(groups));
    for (Grid& g : grids) {
      g.scale = round_scale(rng() % 2 ? scale(rng) : -scale(rng), s.scale_type);
      g.zero = s.asymmetric()
                   ? code_for(s, c.fill == Fill::kHighest ? Fill::kLowest : Fill::kRandom, 0, rng)
                   : s.symmetric_zero();
    }
    builder.set_row(row, codes.data(), grids);
  }
  return builder.finish();
}

std::vector<float> make_rows(const Case& c, std::mt19937& rng) {
  std::vector<float> x(static_cast<size_t>(c.m * c.k));
  for (int64_t i = 0; i < c.m * c.k; ++i) {
    // Sizes that differ between blocks, so that their multipliers do.
    float v = static_cast<float>(static_cast<int32_t>(rng())) / static_cast<float>(1 << i / 32 % 7);
    if (c.fill == Fill::kHighest) v = 1;  // every code 127
    if (c.fill == Fill::kLowest) v = -1;
    if (c.fill == Fill::kAlternating) v = i % 2 ? -2 : 2;
    if (c.fill == Fill::kRandom && i / 64 % 5 == 4) v = 0;  // blocks of zeros
    x[static_cast<size_t>(i)] = v;
  }
  return x;
}

struct PlainRow {
  float scale;
  std::vector<int> codes, multipliers;  // one multiplier for each block of 32
};

float absmax(const float* x, int64_t begin, int64_t end) {
  float most = 0;
  for (int64_t i = begin; i < end; ++i) most = std::max(most, std::fabs(x[i]));
  return most;
}

PlainRow quantize_plainly(const float* x, int64_t k, Activations mode) {
  bool blocks = mode == Activations::kInt8Block32;
  PlainRow out;
  out.scale = absmax(x, 0, k) / 127;
  if (blocks) out.scale /= 512;
  if (out.scale == 0) out.scale = 1;
  for (int64_t b = 0; b < k; b += 32) {
    int64_t end = std::min(k, b + 32);
    float m = 1;
    if (blocks) m = std::clamp(std::ceil(absmax(x, b, end) / (127 * out.scale)), 1.f, 512.f);
    out.multipliers.push_back(static_cast<int>(m));
    for (int64_t i = b; i < end; ++i) {
      float a = std::rint(x[i] / (out.scale * m));
      out.codes.push_back(static_cast<int>(std::clamp(a, -127.f, 127.f)));
    }
  }
  return out;
}

// Columns of a segment: as many of 128, 96, 64 as divide a group, else 32.
int64_t segment_columns(int64_t group, int64_t k) {
  if (group == k) return 128;
  for (int64_t columns : {128, 96, 64})
    if (group % columns == 0) return columns;
  return 32;
}

// y of one row of activations and one row of weights, whose codes are given, as kernels.h says it.
float multiply_plainly(const QuantizedMatrix& w, int64_t row, const uint8_t* codes,
                       const PlainRow& x) {
  int64_t k = w.cols(), group = w.scheme().group == Scheme::kTensor ? k : w.group_size();
  int64_t columns = segment_columns(group, k);
  float acc = 0;
  for (int64_t begin = 0; begin < k; begin += columns) {
    Grid grid = w.grid(row, begin / group);
    int64_t d = 0;
    for (int64_t b = begin; b < std::min(k, begin + columns); b += 32) {
      int sum = 0;
      for (int64_t i = b; i < std::min(k, b + 32); ++i)
        sum += (codes[i] - grid.zero) * x.codes[static_cast<size_t>(i)];
      d += int64_t{sum} * x.multipliers[static_cast<size_t>(b / 32)];
    }
    EXPECT_EQ(d, static_cast<int32_t>(d));
    acc = std::fma(static_cast<float>(d), grid.scale, acc);
  }
  return acc * x.scale;
}

std::vector<float> product_plainly(const QuantizedMatrix& w, const std::vector<float>& x,
                                   const Case& c, const float* bias) {
  std::vector<float> y(static_cast<size_t>(c.m * c.n));
  std::vector<PlainRow> rows;
  for (int64_t m = 0; m < c.m; ++m)
    rows.push_back(quantize_plainly(x.data() + m * c.k, c.k, c.mode));
  std::vector<uint8_t> codes(static_cast<size_t>(c.k));
  for (int64_t n = 0; n < c.n; ++n) {
    w.codes(n, codes.data());
    for (int64_t m = 0; m < c.m; ++m) {
      float v = multiply_plainly(w, n, codes.data(), rows[static_cast<size_t>(m)]);
      y[static_cast<size_t>(m * c.n + n)] = bias ? v + bias[n] : v;
    }
  }
  return y;
}

// The first element that differs, or -1.
int64_t difference(const std::vector<float>& a, const std::vector<float>& b) {
  for (size_t i = 0; i < a.size(); ++i)
    if (std::memcmp(&a[i], &b[i], 4) != 0) return static_cast<int64_t>(i);
  return -1;
}

void check(const KernelTable& table, const Case& c, DType scale_type) {
  SCOPED_TRACE(fmt::format("{} {} n={} k={} m={} fill={} mode={} scales={}", table.name, c.scheme,
                           c.n, c.k, c.m, static_cast<int>(c.fill), static_cast<int>(c.mode),
                           dtype_name(scale_type)));
  std::mt19937 rng(static_cast<unsigned>(c.n * 7919 + c.k * 31 + c.m));
  QuantizedMatrix w = make_matrix(c, scale_type, rng);
  ASSERT_TRUE(has_integer_kernel(w.scheme(), c.k));
  std::vector<float> x = make_rows(c, rng), bias(static_cast<size_t>(c.n), 0.37f);
  const float* add = c.bias ? bias.data() : nullptr;
  PanelMatrix packed(table, w);
  auto rows = quantize_rows_with(table, x.data(), c.m, c.k, c.mode);
  std::vector<float> y(static_cast<size_t>(c.m * c.n), NAN);
  integer_matmul(packed, *rows, add, y.data(), c.n);
  std::vector<float> want = product_plainly(w, x, c, add);
  int64_t at = difference(y, want);
  ASSERT_EQ(at, -1) << "got " << y[static_cast<size_t>(at)] << ", want "
                    << want[static_cast<size_t>(at)];
}

class Conformance : public testing::TestWithParam<const KernelTable*> {};

// The others are compiled and named by ListsEveryTable.
std::vector<const KernelTable*> tables_that_run_here() {
  std::vector<const KernelTable*> tables;
  for (const KernelTable* t : kernel_tables())
    if (runs_here(*t)) tables.push_back(t);
  return tables;
}

TEST(KernelTables, ListsEveryTable) {
  EXPECT_TRUE(runs_here(*kernel_tables().back()));
  EXPECT_EQ(describe_kernel_tables().size(), kernel_tables().size());
  for (const KernelTable* t : kernel_tables())
    if (!runs_here(*t)) fmt::print("kernel table {}: not run, needs {}\n", t->name, t->needs);
}

std::vector<std::string> scheme_names() {
  std::vector<std::string> names;
  for (int bits = 2; bits <= 8; ++bits)
    for (const char* group : {"g32", "g64", "g96", "g128", "", "t"})
      for (const char* symmetry : {"", "-full", "-asym"})
        names.push_back(fmt::format("w{}{}{}", bits, group, symmetry));
  return names;
}

TEST_P(Conformance, EverySchemeAndFill) {
  int turn = 0;
  for (const std::string& name : scheme_names())
    for (Fill fill : {Fill::kRandom, Fill::kHighest, Fill::kLowest, Fill::kAlternating})
      for (Activations mode : {Activations::kInt8Block32, Activations::kInt8Token})
        for (int64_t m : {1, 3, 17}) {
          DType scales[] = {DType::kF16, DType::kBF16, DType::kF32};
          check(*GetParam(), {name, 19, 160 + 13, m, fill, mode, turn % 2 == 0}, scales[turn % 3]);
          if (HasFatalFailure()) return;
          ++turn;
        }
}

TEST_P(Conformance, EveryRemainder) {
  for (const char* name : {"w2g32", "w3g64-asym", "w4g32", "w4g128-asym", "w8g32", "w8-asym"})
    for (int64_t k = 1; k <= 66; ++k)
      for (Activations mode : {Activations::kInt8Block32, Activations::kInt8Token}) {
        check(*GetParam(), {name, 1 + k % 18, k, 1 + k % 23, Fill::kRandom, mode, false},
              DType::kF16);
        if (HasFatalFailure()) return;
      }
}

TEST_P(Conformance, EveryRowCount) {
  for (const char* name : {"w2g64", "w3g128", "w4g32", "w4g128-asym", "w8", "w8-asym"})
    for (int64_t m : {1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 33, 515})
      for (int64_t n : {1, 8, 15, 16, 17, 33}) {
        check(*GetParam(),
              {name, n, 700, m, Fill::kRandom,
               m % 2 ? Activations::kInt8Block32 : Activations::kInt8Token, n % 2 == 0},
              DType::kF16);
        if (HasFatalFailure()) return;
      }
}

TEST_P(Conformance, LongSumsStayExact) {
  for (const char* name : {"w8", "w8-asym", "w8-full", "w4", "w2-asym"})
    for (Fill fill : {Fill::kHighest, Fill::kLowest})
      for (int64_t m : {1, 17}) {
        check(*GetParam(), {name, 3, 70000, m, fill, Activations::kInt8Token, false}, DType::kF32);
        if (HasFatalFailure()) return;
      }
}

TEST_P(Conformance, ActivationsQuantizeAlike) {
  std::mt19937 rng(1);
  const float odd[] = {0.f,  -0.f, 1e-45f, -1e-40f, 1e-38f,   3e38f,
                       -1.f, 0.5f, 1.5f,   2.5f,    INFINITY, NAN};
  for (int64_t k : {1, 31, 32, 33, 64, 100, 257})
    for (bool per_token : {false, true})
      for (int round = 0; round < 200; ++round) {
        std::vector<float> x(static_cast<size_t>(k));
        for (float& v : x)
          v = round % 4 ? std::ldexp(float(rng()) - 2e9f, -int(rng() % 40)) : odd[rng() % 12];
        auto blocks = static_cast<size_t>((k + 31) / 32);
        std::vector<int8_t> a(32 * blocks), b(32 * blocks);
        std::vector<int32_t> ma(blocks), mb(blocks), ta(blocks), tb(blocks);
        auto& plain = *kernel_tables().back();
        float sa = GetParam()->quantize_row(x.data(), k, per_token, a.data(), ma.data(), ta.data());
        float sb = plain.quantize_row(x.data(), k, per_token, b.data(), mb.data(), tb.data());
        ASSERT_EQ(a, b);
        ASSERT_EQ(ma, mb);
        ASSERT_EQ(ta, tb);
        ASSERT_EQ(std::memcmp(&sa, &sb, 4), 0);
      }
}

TEST_P(Conformance, SameBitsForAnyThreadCount) {
  Case c = {"w4g32", 700, 512, 5, Fill::kRandom, Activations::kInt8Block32, true};
  for (int threads : {1, 2, 3}) {
    set_threads(threads);
    check(*GetParam(), c, DType::kF16);
  }
  set_threads(0);
}

INSTANTIATE_TEST_SUITE_P(Tables, Conformance, testing::ValuesIn(tables_that_run_here()),
                         [](const auto& p) { return std::string(p.param->name); });

}  // namespace
}  // namespace nibble
