#include "kernels/packed_store.h"

#include <gtest/gtest.h>

#include <random>

#include "base/test_util.h"
#include "kernels/pack.h"

namespace nibble {
namespace {

QuantizedMatrix random_matrix(const char* scheme, int64_t n, int64_t k, unsigned seed) {
  Scheme s = *Scheme::parse(scheme);
  QuantizedBuilder builder(s, n, k);
  std::mt19937 rng(seed);
  std::vector<uint8_t> codes(static_cast<size_t>(k));
  std::vector<Grid> grids(static_cast<size_t>(s.groups(k)), {0.5f, s.symmetric_zero()});
  for (int64_t row = 0; row < n; ++row) {
    for (auto& c : codes) c = static_cast<uint8_t>(rng() % 15 + 1);
    builder.set_row(row, codes.data(), grids);
  }
  return builder.finish();
}

class PackedStoreTest : public testing::Test {
 protected:
  // All matrices through a store: what each came to, and how the store ended.
  struct Pass {
    std::vector<std::unique_ptr<PackedMatrix>> matrices;
    Status end;
  };
  Result<Pass> pass(const std::vector<QuantizedMatrix>& matrices, const char* key = "k") {
    PackedStore store = NB_TRY(PackedStore::open(folder_.path(), key));
    Pass p;
    for (const QuantizedMatrix& w : matrices) p.matrices.push_back(NB_TRY(store.next(w)));
    p.end = store.finish();
    return p;
  }
  std::vector<QuantizedMatrix> model() {
    std::vector<QuantizedMatrix> m;
    m.push_back(random_matrix("w4g32", 19, 100, 1));
    m.push_back(random_matrix("w8", 8, 64, 2));
    return m;
  }
  TempFolder folder_;
};

std::vector<std::byte> bytes_of(const PackedMatrix& m) {
  auto span = static_cast<const PanelMatrix&>(m).packed();
  return {span.begin(), span.end()};
}

TEST_F(PackedStoreTest, SecondPassMapsWhatTheFirstPacked) {
  auto first = pass(model()), second = pass(model());
  ASSERT_TRUE(first && first->end && second && second->end);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(bytes_of(*first->matrices[i]), bytes_of(*second->matrices[i]));
    EXPECT_EQ(second->matrices[i]->rows(), first->matrices[i]->rows());
  }
  EXPECT_EQ(list_files(folder_.path())->size(), 1u);
}

TEST_F(PackedStoreTest, MappedMatricesOutliveTheStore) {
  ASSERT_TRUE(pass(model()));
  auto mapped = pass(model());
  ASSERT_TRUE(mapped);
  auto fresh = pack_matrix(model()[0]);
  EXPECT_EQ(bytes_of(*mapped->matrices[0]), bytes_of(*fresh));
}

TEST_F(PackedStoreTest, AnUnfinishedPassLeavesNothing) {
  {
    auto store = PackedStore::open(folder_.path(), "k");
    ASSERT_TRUE(store && store->next(model()[0]));
  }
  EXPECT_TRUE(list_files(folder_.path())->empty());
}

TEST_F(PackedStoreTest, FilesThatDoNotFitAreRefused) {
  ASSERT_TRUE(pass(model()));
  auto shorter = model();
  shorter.pop_back();
  auto more = pass(shorter);
  ASSERT_TRUE(more);
  EXPECT_TRUE(fails_with(more->end, "holds more"));
  auto longer = model();
  longer.push_back(random_matrix("w8", 8, 64, 3));
  EXPECT_TRUE(fails_with(pass(longer), "ends before"));
}

TEST_F(PackedStoreTest, NeedsAFolder) {
  EXPECT_TRUE(fails_with(PackedStore::open(folder_ / "none", "k"), "cannot create"));
}

}  // namespace
}  // namespace nibble
