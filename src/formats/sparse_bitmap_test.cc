#include "formats/sparse_bitmap.h"

#include <algorithm>
#include <random>

#include "base/test_util.h"
#include "formats/compressed_tensors.h"

namespace nibble {
namespace {

// Random codes, `kept` of 100 of them not zero.
QuantizedMatrix sparse_matrix(const char* scheme, int64_t n, int64_t k, unsigned kept) {
  Scheme s = *Scheme::parse(scheme);
  std::mt19937 random(static_cast<uint32_t>(n * 1000 + k));
  QuantizedBuilder builder(s, n, k);
  std::vector<uint8_t> codes(static_cast<size_t>(k));
  std::vector<Grid> grids(static_cast<size_t>(s.group == Scheme::kTensor ? 1 : s.groups(k)));
  if (s.group == Scheme::kTensor) grids[0] = {.5f, s.asymmetric() ? 2 : s.symmetric_zero()};
  for (int64_t r = 0; r < n; ++r) {
    for (Grid& g : grids)
      if (s.group != Scheme::kTensor)
        g = {.25f, s.asymmetric() ? static_cast<int>(random() % static_cast<unsigned>(s.levels()))
                                  : s.symmetric_zero()};
    for (int64_t j = 0; j < k; ++j) {
      int zero =
          grids[s.group == Scheme::kTensor ? 0 : static_cast<size_t>(j / s.group_size(k))].zero;
      codes[static_cast<size_t>(j)] =
          static_cast<uint8_t>(random() % 100 < kept ? random() % static_cast<unsigned>(s.levels())
                                                     : static_cast<unsigned>(zero));
    }
    builder.set_row(r, codes.data(), grids);
  }
  return builder.finish();
}

std::vector<NamedTensor> stored(const QuantizedMatrix& q) {
  auto tensors = to_compressed_tensors("m", q);
  use_bitmap("m", q, tensors);
  return tensors;
}

bool has(const std::vector<NamedTensor>& tensors, const std::string& name) {
  return std::ranges::any_of(tensors, [&](const NamedTensor& t) { return t.name == name; });
}

TEST(SparseBitmap, GivesBackEveryCode) {
  for (const char* scheme :
       {"w2g32", "w3g32-asym", "w4", "w4t-asym", "w5g64-full", "w8g32-asym", "w8"})
    for (int64_t k : {33, 64, 100})
      for (unsigned kept : {0u, 20u, 45u}) {
        SCOPED_TRACE(fmt::format("{} k={} kept={}", scheme, k, kept));
        QuantizedMatrix q = sparse_matrix(scheme, 7, k, kept);
        auto tensors = stored(q);
        bool bitmap = has(tensors, "m.weight_bitmap");
        EXPECT_NE(bitmap, has(tensors, "m.weight_packed") || has(tensors, "m.weight"));
        if (kept < 40) EXPECT_TRUE(bitmap);
        Checkpoint file = Checkpoint::of_tensors("file", tensors);
        auto read = from_compressed_tensors(file, "m", q.scheme(), 7, k);
        ASSERT_TRUE(succeeds(read));
        std::vector<uint8_t> a(static_cast<size_t>(k)), b(a);
        for (int64_t r = 0; r < 7; ++r) {
          q.codes(r, a.data());
          read->codes(r, b.data());
          EXPECT_EQ(a, b);
        }
      }
}

TEST(SparseBitmap, DenseCodesStayWhereTheyAreSmaller) {
  auto tensors = stored(sparse_matrix("w2g32", 8, 64, 100));
  EXPECT_FALSE(has(tensors, "m.weight_bitmap"));
  EXPECT_TRUE(has(tensors, "m.weight_packed"));
}

TEST(SparseBitmap, LyingFilesAreRefused) {
  QuantizedMatrix q = sparse_matrix("w4g32", 5, 40, 30);
  auto with = [&](const std::string& part, auto change) {
    auto tensors = stored(q);
    for (NamedTensor& t : tensors)
      if (t.name == "m" + part) {
        std::vector<std::byte> bytes(t.view.bytes.begin(), t.view.bytes.end());
        DType type = t.view.dtype;
        std::vector<int64_t> shape = t.view.shape;
        change(bytes, type, shape);
        t.view = own_bytes(type, shape, bytes);
      }
    return from_compressed_tensors(Checkpoint::of_tensors("file", tensors), "m", q.scheme(), 5, 40);
  };
  using Bytes = std::vector<std::byte>;
  using Shape = std::vector<int64_t>;
  EXPECT_TRUE(succeeds(with(".weight_kept", [](Bytes&, DType&, Shape&) {})));
  // All of a row's columns kept: more codes than there are.
  EXPECT_TRUE(
      fails_with(with(".weight_bitmap",
                      [](Bytes& b, DType&, Shape&) { std::fill_n(b.begin(), 4, std::byte{255}); }),
                 "bits set"));
  EXPECT_TRUE(
      fails_with(with(".weight_bitmap", [](Bytes& b, DType&, Shape&) { b[7] = std::byte{1}; }),
                 "behind the last"));
  EXPECT_TRUE(fails_with(with(".weight_bitmap",
                              [](Bytes& b, DType&, Shape& s) {
                                b.resize(b.size() - 8);
                                --s[0];
                              }),
                         "shape"));
  EXPECT_TRUE(fails_with(with(".weight_kept",
                              [](Bytes& b, DType&, Shape& s) {
                                b.resize(b.size() - 4);
                                --s[0];
                              }),
                         "does not hold"));
  EXPECT_TRUE(fails_with(with(".weight_kept",
                              [](Bytes& b, DType&, Shape& s) {
                                b.resize(b.size() + 4);
                                ++s[0];
                              }),
                         "does not hold"));
  EXPECT_TRUE(
      fails_with(with(".weight_kept", [](Bytes&, DType& t, Shape&) { t = DType::kF32; }), "I32"));
}

}  // namespace
}  // namespace nibble
