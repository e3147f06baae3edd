#include "export/ggml_exact.h"

#include <cmath>

#include "base/test_util.h"

namespace nibble {
namespace {

QuantizedMatrix matrix(const char* scheme, int64_t n, int64_t k, DType scale_type = DType::kF16) {
  Scheme s = *Scheme::parse(scheme);
  s.scale_type = scale_type;
  QuantizedBuilder builder(s, n, k);
  for (int64_t r = 0; r < n; ++r) {
    std::vector<uint8_t> codes(static_cast<size_t>(k));
    for (int64_t j = 0; j < k; ++j)
      codes[static_cast<size_t>(j)] =
          static_cast<uint8_t>(std::max<int64_t>(s.min_code(), (5 * r + 3 * j) % s.levels()));
    std::vector<Grid> grids(static_cast<size_t>(s.groups(k)));
    for (size_t g = 0; g < grids.size(); ++g)
      // Eleven bits, so that a multiple of it need not fit float16.
      grids[g] = {std::ldexp(g % 2 ? -2047.f : 2047.f, static_cast<int>(r) - 14),
                  s.asymmetric() ? static_cast<int>((static_cast<size_t>(r) + g) %
                                                    static_cast<size_t>(s.levels()))
                                 : s.symmetric_zero()};
    builder.set_row(r, codes.data(), grids);
  }
  return builder.finish();
}

struct Case {
  const char *scheme, *type;
};

TEST(GgmlExact, SmallestTypeThatKeepsAllAndItsValues) {
  for (auto [scheme, name] : {Case{"w4g32", "Q4_0"},
                              {"w4g32-full", "Q4_0"},
                              {"w4g128", "Q4_0"},
                              {"w4", "Q4_0"},
                              {"w4t", "Q4_0"},
                              {"w2g64", "Q4_0"},
                              {"w3g32-asym", "Q4_0"},
                              {"w5g32", "Q5_0"},
                              {"w6g32", "Q8_0"},
                              {"w8g32", "Q8_0"}}) {
    QuantizedMatrix w = matrix(scheme, 7, 256);
    const GgmlType* type = exact_ggml_type(w);
    ASSERT_NE(type, nullptr) << scheme;
    EXPECT_EQ(type->name, name) << scheme;
    std::vector<float> own(256), read(256);
    std::vector<std::byte> blocks(static_cast<size_t>(8 * type->bytes));
    for (int64_t r = 0; r < 7; ++r) {
      w.dequantize(r, own.data());
      exact_ggml_row(*type, w, r, blocks.data());
      type->to_float(blocks.data(), 8, read.data());
      ASSERT_EQ(read, own) << scheme << " row " << r;
    }
  }
}

TEST(GgmlExact, SchemesPromiseWhatAnyOfTheirZeroPointsAllow) {
  for (auto [scheme, name] : {Case{"w4g32", "Q4_0"},
                              {"w4g32-full", "Q4_0"},
                              {"w3g32-asym", "Q4_0"},
                              {"w4g32-asym", "Q5_0"},
                              {"w5g32-asym", "Q8_0"},
                              {"w8g32", "Q8_0"}}) {
    const GgmlType* type = promised_ggml_type(*Scheme::parse(scheme), 256);
    ASSERT_NE(type, nullptr) << scheme;
    EXPECT_EQ(type->name, name) << scheme;
    EXPECT_EQ(kept_by(*type, matrix(scheme, 7, 256)), Kept::kAll) << scheme;
  }
  EXPECT_EQ(promised_ggml_type(*Scheme::parse("w8-asym"), 256), nullptr);
  EXPECT_EQ(promised_ggml_type(*Scheme::parse("w4g100"), 256), nullptr);
  EXPECT_EQ(promised_ggml_type(*Scheme::parse("w4g32"), 48), nullptr);
}

TEST(GgmlExact, OffsetsThatFloat16RoundsKeepTheCodes) {
  QuantizedMatrix w = matrix("w4g32-asym", 7, 64);
  const GgmlType* q4_1 = find_ggml_type("Q4_1");
  EXPECT_EQ(exact_ggml_type(w)->name, "Q5_0");
  EXPECT_EQ(kept_by(*find_ggml_type("Q4_0"), w), Kept::kNothing);
  EXPECT_EQ(kept_by(*q4_1, w), Kept::kIntegers);
  std::vector<float> own(64), read(64);
  std::vector<std::byte> blocks(40);
  for (int64_t r = 0; r < 7; ++r) {
    w.dequantize(r, own.data());
    exact_ggml_row(*q4_1, w, r, blocks.data());
    q4_1->to_float(blocks.data(), 2, read.data());
    for (size_t j = 0; j < 64; ++j)
      ASSERT_NEAR(read[j], own[j], 16 * std::ldexp(0.125f, static_cast<int>(r)) * 5e-4f);
  }
}

TEST(GgmlExact, NothingForRaggedGroupsAndScalesThatFloat16Rounds) {
  EXPECT_EQ(exact_ggml_type(matrix("w4g100", 3, 256)), nullptr);
  EXPECT_EQ(exact_ggml_type(matrix("w4g32", 3, 48)), nullptr);
  EXPECT_EQ(exact_ggml_type(matrix("w8-asym", 3, 64)), nullptr);
  Scheme s = *Scheme::parse("w4g32");
  s.scale_type = DType::kF32;
  QuantizedBuilder builder(s, 1, 32);
  std::vector<uint8_t> codes(32, 8);
  Grid grid{0.1f, 8};
  builder.set_row(0, codes.data(), std::span(&grid, 1));
  EXPECT_EQ(exact_ggml_type(builder.finish()), nullptr);
}

}  // namespace
}  // namespace nibble
