#include "export/same_integers.h"

#include "base/test_util.h"
#include "export/ggml_exact.h"

namespace nibble {
namespace {

constexpr int64_t kN = 70, kK = 128;  // more rows than one piece of work

// code: of (row, column); grid: of (row, first column of the group).
template <class Code, class GridOf>
QuantizedMatrix matrix(const char* scheme, Code code, GridOf grid) {
  Scheme s = *Scheme::parse(scheme);
  QuantizedBuilder builder(s, kN, kK);
  std::vector<uint8_t> codes(kK);
  std::vector<Grid> grids(static_cast<size_t>(s.groups(kK)));
  for (int64_t r = 0; r < kN; ++r) {
    for (int64_t j = 0; j < kK; ++j) codes[static_cast<size_t>(j)] = code(r, j);
    for (size_t g = 0; g < grids.size(); ++g)
      grids[g] = grid(r, static_cast<int64_t>(g) * s.group_size(kK));
    builder.set_row(r, codes.data(), grids);
  }
  return builder.finish();
}

uint8_t code(int64_t r, int64_t j) { return static_cast<uint8_t>((5 * r + 3 * j) % 15 + 1); }
// The same for every 64 columns.
Grid grid(int64_t r, int64_t j) { return {0.25f * static_cast<float>(1 + (r + j / 64) % 7), 8}; }

TEST(SameIntegers, OfOtherGroupsOtherWidthsAndOtherZeros) {
  QuantizedMatrix w = matrix("w4g64", code, grid);
  EXPECT_TRUE(same_integers(w, matrix("w4g64", code, grid)));
  EXPECT_TRUE(same_integers(w, matrix("w4g32", code, grid)));
  EXPECT_TRUE(same_integers(matrix("w4g32", code, grid), w));
  EXPECT_TRUE(same_integers(w, matrix("w4g64-asym", code, grid)));
  auto moved = [](int64_t r, int64_t j) { return static_cast<uint8_t>(code(r, j) + 120); };
  auto moved_grid = [](int64_t r, int64_t j) { return Grid{grid(r, j).scale, 128}; };
  EXPECT_TRUE(same_integers(w, matrix("w8g32", moved, moved_grid)));
  EXPECT_TRUE(same_integers(matrix("w8g32", moved, moved_grid), w));
}

TEST(SameIntegers, OneOtherCodeScaleOrZeroPointTells) {
  QuantizedMatrix w = matrix("w4g32-asym", code, grid);
  for (int64_t row : {int64_t{0}, kN - 1}) {
    auto at = [&](int64_t r, int64_t j) { return r == row && j == 96; };
    EXPECT_FALSE(same_integers(
        w, matrix(
               "w4g32-asym",
               [&](int64_t r, int64_t j) { return static_cast<uint8_t>(code(r, j) ^ at(r, j)); },
               grid)));
    EXPECT_FALSE(same_integers(w, matrix("w4g32-asym", code, [&](int64_t r, int64_t j) {
                                 return Grid{grid(r, j).scale * (at(r, j) ? 2.f : 1.f), 8};
                               })));
    EXPECT_FALSE(same_integers(w, matrix("w4g32-asym", code, [&](int64_t r, int64_t j) {
                                 return Grid{grid(r, j).scale, at(r, j) ? 9 : 8};
                               })));
  }
}

TEST(SameIntegers, GroupsThatOverlapAreNotCompared) {
  auto flat = [](int64_t, int64_t) { return Grid{1, 8}; };
  EXPECT_FALSE(same_integers(matrix("w4g32", code, flat), matrix("w4g48", code, flat)));
}

TEST(SameIntegers, BlocksOfGgmlBesideWhatTheyWereMadeOf) {
  for (auto [scheme, name] : {std::pair{"w4g64", "Q4_0"}, {"w4g64", "Q8_0"}}) {
    QuantizedMatrix w = matrix(scheme, code, grid);
    const GgmlType& type = *find_ggml_type(name);
    Scheme blocks = Scheme::of_blocks(type);
    auto bytes = QuantizedMatrix::row_bytes(blocks, kK);
    std::vector<std::byte> rows(static_cast<size_t>(kN * bytes));
    for (int64_t r = 0; r < kN; ++r) exact_ggml_row(type, w, r, rows.data() + r * bytes);
    auto read = [&] {
      return QuantizedMatrix(blocks, kN, kK, own_bytes(DType::kU8, {kN, bytes}, rows), {}, {}, 0);
    };
    EXPECT_TRUE(same_integers(w, read())) << name;
    rows.back() ^= std::byte{1};
    EXPECT_FALSE(same_integers(w, read())) << name;
  }
}

}  // namespace
}  // namespace nibble
