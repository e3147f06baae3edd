#include "export/integer_layout.h"

#include "base/test_util.h"
#include "export/awq_layout.h"
#include "export/gptq_layout.h"

namespace nibble {
namespace {

// Codes (7 r + 3 j) mod levels and zero points (r + g) mod levels, so that a wrong place shows.
QuantizedMatrix matrix(const char* scheme, int64_t n, int64_t k, int least_zero = 1) {
  Scheme s = *Scheme::parse(scheme);
  QuantizedBuilder builder(s, n, k);
  for (int64_t r = 0; r < n; ++r) {
    std::vector<uint8_t> codes(static_cast<size_t>(k));
    for (int64_t j = 0; j < k; ++j)
      codes[static_cast<size_t>(j)] =
          static_cast<uint8_t>(std::max<int64_t>(s.min_code(), (7 * r + 3 * j) % s.levels()));
    std::vector<Grid> grids(static_cast<size_t>(s.groups(k)));
    for (size_t g = 0; g < grids.size(); ++g) {
      int zero = static_cast<int>((static_cast<size_t>(r) + g) % static_cast<size_t>(s.levels()));
      grids[g] = {0.25f * static_cast<float>(1 + (static_cast<size_t>(r) + g) % 7),
                  s.asymmetric() ? std::max(zero, least_zero) : s.symmetric_zero()};
    }
    builder.set_row(r, codes.data(), grids);
  }
  return builder.finish();
}

uint32_t word(const TensorView& v, int64_t i) {
  uint32_t out;
  std::memcpy(&out, v.bytes.data() + i * 4, 4);
  return out;
}

// Bits [at, at + width) of a column of words (count, stride).
int field(const TensorView& v, int64_t column, int64_t stride, int64_t at, int width) {
  int out = 0;
  for (int b = 0; b < width; ++b)
    out |= static_cast<int>(word(v, (at + b) / 32 * stride + column) >> ((at + b) % 32) & 1) << b;
  return out;
}

class Widths : public testing::TestWithParam<std::pair<const char*, IntegerLayout>> {};

TEST_P(Widths, GptqHasEachCodeAndZeroWhereThePackageReadsThem) {
  auto [scheme, layout] = GetParam();
  constexpr int64_t kN = 32, kK = 128;
  QuantizedMatrix w = matrix(scheme, kN, kK);
  IntegerRows rows(w, layout);
  TensorView codes = gptq_codes(rows), scales = group_scales(rows);
  int bits = layout.bits, shift = (1 << (bits - 1)) - w.scheme().symmetric_zero();
  ASSERT_EQ(codes.shape, (std::vector<int64_t>{kK * bits / 32, kN}));
  std::vector<uint8_t> own(kK);
  for (int64_t r = 0; r < kN; ++r) {
    w.codes(r, own.data());
    for (int64_t j = 0; j < kK; ++j)
      ASSERT_EQ(field(codes, r, kN, j * bits, bits),
                own[static_cast<size_t>(j)] + (layout.symmetric ? shift : 0));
    for (int64_t g = 0; g < rows.groups(); ++g) {
      uint16_t half;
      std::memcpy(&half, scales.bytes.data() + (g * kN + r) * 2, 2);
      int64_t from = w.groups() > 1 ? g * layout.group / w.group_size() : 0;
      ASSERT_EQ(f16_to_float(half), w.grid(r, from).scale);
    }
  }
  for (int offset : {0, 1}) {
    TensorView zeros = gptq_zeros(rows, offset);
    for (int64_t g = 0; g < rows.groups(); ++g)
      for (int64_t r = 0; r < kN; ++r) {
        int64_t words = kN * bits / 32, got = 0;
        for (int b = 0; b < bits; ++b) {
          int64_t at = r * bits + b;
          got |= int64_t{word(zeros, g * words + at / 32) >> (at % 32) & 1} << b;
        }
        ASSERT_EQ(got + offset, rows.zero(r, g));
      }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Widths,
                         testing::Values(std::pair{"w2g64", IntegerLayout{2, 64, true}},
                                         std::pair{"w3g32", IntegerLayout{3, 32, true}},
                                         std::pair{"w3g32-asym", IntegerLayout{3, 32, false}},
                                         std::pair{"w4", IntegerLayout{4, -1, true}},
                                         std::pair{"w4t", IntegerLayout{4, -1, true}},
                                         std::pair{"w4g128-asym", IntegerLayout{4, 32, false}},
                                         std::pair{"w5g64", IntegerLayout{8, 64, true}},
                                         std::pair{"w6g64-asym", IntegerLayout{8, 64, false}},
                                         std::pair{"w8g32", IntegerLayout{8, 32, true}}));

TEST(AwqLayout, EightOutputsLieInAWordInTheirOrder) {
  constexpr int64_t kN = 16, kK = 64;
  QuantizedMatrix w = matrix("w4g32-asym", kN, kK);
  IntegerRows rows(w, {4, 32, false});
  TensorView codes = awq_codes(rows), zeros = awq_zeros(rows);
  ASSERT_EQ(codes.shape, (std::vector<int64_t>{kK, kN / 8}));
  constexpr int kPlace[8] = {0, 4, 1, 5, 2, 6, 3, 7};  // the nibble of each output
  std::vector<uint8_t> own(kK);
  for (int64_t r = 0; r < kN; ++r) {
    w.codes(r, own.data());
    int shift = 4 * kPlace[r % 8];
    for (int64_t j = 0; j < kK; ++j)
      ASSERT_EQ(word(codes, j * (kN / 8) + r / 8) >> shift & 15, own[static_cast<size_t>(j)]);
    for (int64_t g = 0; g < 2; ++g)
      ASSERT_EQ(static_cast<int>(word(zeros, g * (kN / 8) + r / 8) >> shift & 15),
                w.grid(r, g).zero);
  }
}

TEST(IntegerLayout, TakesTheNextWidthAndGroupsThatLoadersKnow) {
  constexpr std::array kWidths = {2, 3, 4, 8};
  auto layout = [&](const char* scheme, int64_t k) {
    return integer_layout({"m", 64, k, *Scheme::parse(scheme), true}, kWidths, "m");
  };
  EXPECT_EQ(layout("w5g64", 256), (IntegerLayout{8, 64, true}));
  EXPECT_EQ(layout("w4g96-asym", 192), (IntegerLayout{4, 32, false}));
  EXPECT_EQ(layout("w4g512", 512), (IntegerLayout{4, -1, true}));
  EXPECT_EQ(layout("w4g2048", 4096), (IntegerLayout{4, 1024, true}));
  EXPECT_TRUE(fails_with(layout("w4g100", 256), "no whole groups"));
  EXPECT_TRUE(fails_with(layout("w4g24", 240), "do not divide"));
}

TEST(IntegerLayout, RefusesScalesBeyondFloat16) {
  Scheme s = *Scheme::parse("w4");
  s.scale_type = DType::kF32;
  QuantizedBuilder builder(s, 1, 32);
  std::vector<uint8_t> codes(32, 8);
  Grid grid{1e6f, 8};
  builder.set_row(0, codes.data(), std::span(&grid, 1));
  EXPECT_TRUE(fails_with(grid_facts(builder.finish(), "here"), "outside float16"));
}

TEST(IntegerRows, StoredCodesAreThePackedOnesOrNone) {
  for (auto [scheme, bits, k, stored] : {std::tuple{"w4g32-asym", 4, int64_t{96}, true},
                                         {"w3g32", 3, int64_t{96}, true},
                                         {"w8g32", 8, int64_t{96}, true},
                                         {"w4", 4, int64_t{20}, false},
                                         {"w6g32", 8, int64_t{96}, false}}) {
    QuantizedMatrix w = matrix(scheme, 5, k);
    IntegerRows rows(w, {bits, 32, !w.scheme().asymmetric()});
    auto size = static_cast<size_t>(k * bits / 8);
    std::vector<std::byte> packed(5 * size);
    for (size_t r = 0; r < 5; ++r)
      rows.packed_codes(static_cast<int64_t>(r), packed.data() + r * size);
    EXPECT_EQ(std::ranges::equal(rows.stored_codes(), packed), stored) << scheme;
    EXPECT_EQ(rows.stored_codes().empty(), !stored) << scheme;
  }
}

TEST(IntegerRows, PackedCodesAreTheCodesPacked) {
  for (auto [scheme, bits] : {std::pair{"w4g32-asym", 4},
                              {"w4g32", 4},
                              {"w3g32", 4},
                              {"w2g32", 2},
                              {"w3g32-asym", 4},
                              {"w8g32", 8},
                              {"w6g32", 8}}) {
    QuantizedMatrix w = matrix(scheme, 5, 96);
    IntegerRows rows(w, {bits, 32, !w.scheme().asymmetric()});
    std::vector<uint8_t> codes(96), unpacked(96);
    std::vector<std::byte> packed(static_cast<size_t>(96 * bits / 8));
    for (int64_t r = 0; r < 5; ++r) {
      rows.codes(r, codes.data());
      rows.packed_codes(r, packed.data());
      unpack_bits(packed.data(), 96, bits, unpacked.data());
      ASSERT_EQ(unpacked, codes) << scheme << " row " << r;
    }
  }
}

}  // namespace
}  // namespace nibble
