// The promises of every scheme, on ordinary and on hard data.
#include "tensor/grid.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "tensor/quantized.h"

namespace nibble {
namespace {

constexpr int64_t kRows = 5, kColumns = 83;  // no multiple of anything: rows end inside words

using Matrix = std::vector<float>;
std::map<std::string, Matrix> matrices() {
  std::map<std::string, Matrix> out;
  size_t size = kRows * kColumns;
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0, 0.02f);
  auto fill = [&](auto f) {
    Matrix m(size);
    std::generate(m.begin(), m.end(), f);
    return m;
  };
  out["random"] = fill([&] { return normal(random); });
  out["zero"] = Matrix(size, 0.f);
  out["negative zero"] = Matrix(size, -0.f);
  out["constant"] = Matrix(size, 0.3f);
  out["negative constant"] = Matrix(size, -1.7f);
  out["positive"] = fill([&] { return std::fabs(normal(random)) + 0.5f; });
  out["negative"] = fill([&] { return -std::fabs(normal(random)) - 0.5f; });
  out["large"] = fill([&] { return 1e5f * normal(random); });
  out["tiny"] = fill([&] { return 1e-4f * normal(random); });
  for (float outlier : {1000.f, -1000.f}) {
    out[fmt::format("outlier {}", outlier)] = out["random"];
    out[fmt::format("outlier {}", outlier)][size / 2] = outlier;
  }
  return out;
}

// How far the stored scale may lie from the exact one.
float scale_error(const Grid& g, DType type) {
  float s = std::fabs(g.scale);
  if (type == DType::kF16) return std::max(s * 0x1p-11f, 0x1p-24f);
  return type == DType::kBF16 ? s * 0x1p-8f : s * 0x1p-23f + 0x1p-126f;
}

// What a value beyond the last code may lose at most: symmetric grids end half a step before +max
// (8 bits: nowhere), full-range ones a whole step before the opposite of their largest element, and
// an asymmetric zero point is rounded. A rounded scale moves the ends by its error a code.
float end_slack(const Grid& g, const Scheme& s) {
  float steps = 0.5f;
  if (s.symmetry == Symmetry::kFullRange) steps = 1;
  if (s.symmetry == Symmetry::kSymmetric && s.bits == 8) steps = 0;
  auto levels = static_cast<float>(s.levels());
  return steps * std::fabs(g.scale) + levels * scale_error(g, s.scale_type);
}

std::string check_value(float w, const Grid& g, const Scheme& s) {
  int code = encode(w, g, s);
  if (code < s.min_code() || code > s.max_code()) return fmt::format("code {} of {}", code, w);
  float value = decode(code, g), error = std::fabs(value - w), step = std::fabs(g.scale);
  if (encode(value, g, s) != code) return fmt::format("code {} does not encode to itself", code);
  auto [lo, hi] = std::minmax({decode(s.min_code(), g), decode(s.max_code(), g)});
  bool inside = w >= lo && w <= hi;
  float bound = (inside ? step / 2 : end_slack(g, s)) + 1e-6f * std::fabs(w) + 1e-5f * step;
  if (error > bound) return fmt::format("{} became {}, step {}", w, value, step);
  return "";
}

struct Quantized {
  QuantizedMatrix matrix;
  std::vector<uint8_t> codes;
  std::vector<Grid> grids;  // (rows, groups)
};
Quantized quantize(const Matrix& w, const Scheme& s) {
  Quantized q;
  QuantizedBuilder builder(s, kRows, kColumns);
  int64_t groups = s.group == Scheme::kTensor ? 1 : s.groups(kColumns);
  q.codes.resize(w.size());
  for (int64_t r = 0; r < kRows; ++r) {
    std::vector<Grid> grids;
    for (int64_t g = 0; g < groups; ++g) {
      int64_t begin = r * kColumns + g * s.group_size(kColumns);
      int64_t end = std::min((r + 1) * kColumns, begin + s.group_size(kColumns));
      auto values =
          std::span(w).subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
      grids.push_back(fit_minmax(s.group == Scheme::kTensor ? std::span(w) : values, s));
      for (int64_t i = begin; i < end; ++i)
        q.codes[static_cast<size_t>(i)] =
            static_cast<uint8_t>(encode(w[static_cast<size_t>(i)], grids.back(), s));
    }
    builder.set_row(r, q.codes.data() + r * kColumns, grids);
    q.grids.insert(q.grids.end(), grids.begin(), grids.end());
  }
  q.matrix = builder.finish();
  return q;
}

class EveryScheme : public testing::TestWithParam<std::string> {
 protected:
  Scheme scheme(DType type) const {
    Scheme s = Scheme::parse(GetParam()).value();
    s.scale_type = type;
    return s;
  }
};

TEST_P(EveryScheme, ErrorStaysWithinHalfAStep) {
  for (DType type : {DType::kF16, DType::kBF16, DType::kF32}) {
    Scheme s = scheme(type);
    for (const auto& [name, w] : matrices()) {
      Quantized q = quantize(w, s);
      auto per_row = static_cast<int64_t>(q.grids.size()) / kRows;
      for (int64_t i = 0; i < kRows * kColumns; ++i) {
        int64_t group = s.group == Scheme::kTensor ? 0 : i % kColumns / s.group_size(kColumns);
        const Grid& g = q.grids[static_cast<size_t>(i / kColumns * per_row + group)];
        ASSERT_TRUE(std::isfinite(g.scale) && g.scale != 0) << name;
        ASSERT_EQ(check_value(w[static_cast<size_t>(i)], g, s), "") << name << " at " << i;
      }
    }
  }
}

TEST_P(EveryScheme, MatrixReturnsWhatItWasGiven) {
  for (DType type : {DType::kF16, DType::kBF16, DType::kF32}) {
    Scheme s = scheme(type);
    for (const auto& [name, w] : matrices()) {
      Quantized q = quantize(w, s);
      std::vector<uint8_t> codes(kColumns);
      std::vector<float> values(kColumns);
      auto per_row = static_cast<int64_t>(q.grids.size()) / kRows;
      for (int64_t r = 0; r < kRows; ++r) {
        q.matrix.codes(r, codes.data());
        q.matrix.dequantize(r, values.data());
        ASSERT_TRUE(std::equal(codes.begin(), codes.end(), q.codes.begin() + r * kColumns)) << name;
        for (int64_t g = 0; g < per_row; ++g) {
          const Grid& put = q.grids[static_cast<size_t>(r * per_row + g)];
          Grid got = q.matrix.grid(r, g);
          ASSERT_EQ(got.scale, put.scale) << name << ": the scale type must hold it exactly";
          ASSERT_EQ(got.zero, put.zero) << name;
        }
        for (int64_t i = 0; i < kColumns; ++i) {
          Grid g = q.matrix.grid(r, s.group == Scheme::kTensor ? 0 : i / s.group_size(kColumns));
          ASSERT_EQ(values[static_cast<size_t>(i)], decode(codes[static_cast<size_t>(i)], g));
        }
      }
    }
  }
}

TEST_P(EveryScheme, IsDeterministic) {
  Scheme s = scheme(DType::kF16);
  for (const auto& [name, w] : matrices()) {
    Quantized a = quantize(w, s), b = quantize(w, s);
    EXPECT_TRUE(std::ranges::equal(a.matrix.code_view().bytes, b.matrix.code_view().bytes)) << name;
    EXPECT_TRUE(std::ranges::equal(a.matrix.scale_view().bytes, b.matrix.scale_view().bytes));
    EXPECT_TRUE(std::ranges::equal(a.matrix.zeros(), b.matrix.zeros())) << name;
  }
}

TEST_P(EveryScheme, ZerosStayExactlyZero) {
  for (DType type : {DType::kF16, DType::kBF16, DType::kF32}) {
    Quantized q = quantize(Matrix(kRows * kColumns, 0.f), scheme(type));
    std::vector<float> values(kColumns);
    q.matrix.dequantize(0, values.data());
    for (float v : values) ASSERT_EQ(v, 0.f);
  }
}

TEST_P(EveryScheme, NoValueLeavesTheCodes) {
  Scheme s = scheme(DType::kF16);
  std::vector<float> w = {-0.1f, 0.2f};
  Grid g = fit_minmax(w, s);
  for (float v : {INFINITY, -INFINITY, NAN, 1e38f, -1e38f, 0x1p-149f}) {
    int code = encode(v, g, s);
    EXPECT_TRUE(code >= s.min_code() && code <= s.max_code()) << v;
  }
}

std::vector<std::string> all_schemes() {
  std::vector<std::string> out;
  for (int bits = 2; bits <= 8; ++bits)
    for (const char* group : {"", "t", "g1", "g16", "g30", "g83", "g128"})
      for (const char* tail : {"", "-asym", "-full"})
        out.push_back(fmt::format("w{}{}{}", bits, group, tail));
  return out;
}
INSTANTIATE_TEST_SUITE_P(All, EveryScheme, testing::ValuesIn(all_schemes()), [](const auto& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

TEST(GridFromRange, FollowsTheWrittenConventions) {
  Scheme s = Scheme::parse("w4").value();
  s.scale_type = DType::kF32;
  EXPECT_FLOAT_EQ(grid_from_range(-1, 3, s).scale, 2 * 3 / 15.f);
  EXPECT_EQ(grid_from_range(-1, 3, s).zero, 8);
  s.symmetry = Symmetry::kFullRange;
  EXPECT_FLOAT_EQ(grid_from_range(-1, 3, s).scale, -3 / 8.f);
  EXPECT_FLOAT_EQ(grid_from_range(-3, 1, s).scale, 3 / 8.f);
  EXPECT_EQ(encode(3, grid_from_range(-1, 3, s), s), 0) << "the largest element is code 0";
  s.symmetry = Symmetry::kAsymmetric;
  EXPECT_FLOAT_EQ(grid_from_range(-1, 2, s).scale, 3 / 15.f);
  EXPECT_EQ(grid_from_range(-1, 2, s).zero, 5);
  EXPECT_EQ(grid_from_range(1, 2, s).zero, 0) << "zero is always on the grid";
  EXPECT_EQ(grid_from_range(-2, -1, s).zero, 15);
  s = Scheme::parse("w8").value();
  s.scale_type = DType::kF32;
  EXPECT_FLOAT_EQ(grid_from_range(-2, 1, s).scale, 2 / 127.f);
  EXPECT_EQ(encode(-2, grid_from_range(-2, 1, s), s), 1) << "-127, not -128";
  EXPECT_TRUE(std::isfinite(grid_from_range(-3e38f, 3e38f, s).scale));
}

TEST(PackBits, IsDenseLowBitsFirst) {
  for (int bits = 2; bits <= 8; ++bits)
    for (int64_t count : {0, 1, 7, 8, 31, 32, 33, 100}) {
      std::vector<uint8_t> values(static_cast<size_t>(count)), back(values.size());
      for (size_t i = 0; i < values.size(); ++i)
        values[i] = static_cast<uint8_t>((i * 37 + 11) & ((1u << bits) - 1));
      auto bytes = static_cast<size_t>((count * bits + 31) / 32 * 4);
      std::vector<std::byte> packed(bytes + 1, std::byte{0xee});
      pack_bits(values.data(), count, bits, packed.data());
      ASSERT_EQ(packed[bytes], std::byte{0xee}) << "writes its words and no more";
      for (size_t bit = 0; bit < bytes * 8; ++bit) {
        size_t i = bit / static_cast<size_t>(bits);
        int expected = i < values.size() ? values[i] >> (bit % static_cast<size_t>(bits)) & 1 : 0;
        ASSERT_EQ(static_cast<int>(packed[bit / 8]) >> (bit % 8) & 1, expected);
      }
      unpack_bits(packed.data(), count, bits, back.data());
      ASSERT_EQ(values, back);
    }
}

}  // namespace
}  // namespace nibble
