#include "base/flatbuffer.h"

#include <gtest/gtest.h>

#include <array>

namespace nibble {
namespace {

// head and blobs as a file has them.
std::string whole(const FlatBytes& flat, std::span<const std::string> blobs) {
  std::string out = flat.head;
  for (size_t i = 0; i < blobs.size(); ++i) {
    out.resize(static_cast<size_t>(flat.offsets[i]) - 4);
    auto size = static_cast<uint32_t>(blobs[i].size());
    out.append(reinterpret_cast<const char*>(&size), sizeof size);
    out += blobs[i];
  }
  return out;
}

FlatTable example() {
  FlatTable inner, root;
  inner.scalar(0, int8_t{-3});
  inner.scalar(2, int64_t{1} << 40);
  inner.text(3, "inner");
  FlatTable other;
  other.scalar(0, int8_t{7});
  root.scalar(0, uint32_t{3});
  root.tables(4, {inner, other});
  root.vector(5, std::span<const double>(std::array{1.5, -2.}));
  root.blob(6, 0);
  root.table(1, std::move(inner));
  return root;
}

TEST(Flatbuffer, ReadsWhatItWrote) {
  const std::array<std::string, 2> blobs = {"weights", "more"};
  const std::array<int64_t, 2> sizes = {7, 4};
  FlatBytes flat = *lay_flat(example(), "TST1", sizes, 64);
  EXPECT_EQ(flat.offsets[0] % 64, 0);
  std::string file = whole(flat, blobs);
  FlatView root = *FlatView::root(std::as_bytes(std::span(file)), "TST1", "test");
  EXPECT_EQ(*root.scalar(0, 0u), 3u);
  EXPECT_EQ(*root.scalar(9, 12), 12);
  EXPECT_EQ(*root.values<double>(5), (std::vector{1.5, -2.}));
  EXPECT_EQ(root.vector(6, 1)->size(), 7u);
  EXPECT_EQ(std::memcmp(root.vector(6, 1)->data(), "weights", 7), 0);
  std::vector<FlatView> tables = *root.tables(4);
  ASSERT_EQ(tables.size(), 2u);
  EXPECT_EQ(*tables[1].scalar(0, int8_t{0}), 7);
  EXPECT_EQ(*tables[1].text(3), "");
  FlatView inner = **root.table(1);
  EXPECT_EQ(*inner.scalar(0, int8_t{0}), -3);
  EXPECT_EQ(*inner.scalar(2, int64_t{0}), int64_t{1} << 40);
  EXPECT_EQ(*inner.text(3), "inner");
  EXPECT_FALSE(root.table(8)->has_value());
}

// Scalars, vectors and their lengths lie at multiples of their size, as readers in place need it.
TEST(Flatbuffer, AlignsVectors) {
  FlatTable root;
  root.text(0, "x");
  root.vector(1, std::span<const int64_t>(std::array<int64_t, 1>{5}));
  std::string head = lay_flat(root, "TST1", {}, 16)->head;
  FlatView view = *FlatView::root(std::as_bytes(std::span(head)), "TST1", "test");
  EXPECT_EQ((reinterpret_cast<const char*>(view.vector(1, 8)->data()) - head.data()) % 8, 0);
}

// Whatever byte is changed, the reader answers or refuses, and stays inside the file (the sanitizer
// builds watch it).
TEST(Flatbuffer, SurvivesAnyByte) {
  const std::array<std::string, 1> blobs = {"weights"};
  const std::array<int64_t, 1> sizes = {7};
  const std::string good = whole(*lay_flat(example(), "TST1", sizes, 16), blobs);
  int refused = 0;
  for (size_t i = 0; i < good.size(); ++i)
    for (char wrong : {'\xff', '\x7f', '\x01'}) {
      std::string file = good;
      file[i] = wrong;
      Result<FlatView> root = FlatView::root(std::as_bytes(std::span(file)), "TST1", "test");
      if (!root) {
        ++refused;
        continue;
      }
      auto tables = root->tables(4);
      for (const FlatView& t : tables.value_or(std::vector<FlatView>{})) (void)t.text(3);
      refused += !tables || !root->vector(6, 1) || !root->table(1) || !root->values<double>(5);
    }
  EXPECT_GT(refused, 100);
  for (size_t size = 0; size < good.size(); size += 3) {
    std::string file = good.substr(0, size);
    Result<FlatView> root = FlatView::root(std::as_bytes(std::span(file)), "TST1", "test");
    EXPECT_TRUE(!root || !root->vector(6, 1));
  }
}

// Tables that name one vector again and again must not grow beyond what the file holds.
TEST(Flatbuffer, RefusesEndlessSharing) {
  FlatTable root;
  for (int slot = 0; slot < 64; ++slot) root.blob(slot, 0);
  const std::array<std::string, 1> blobs = {std::string(4096, 'x')};
  const std::array<int64_t, 1> sizes = {4096};
  std::string file = whole(*lay_flat(root, "TST1", sizes, 16), blobs);
  FlatView view = *FlatView::root(std::as_bytes(std::span(file)), "TST1", "test");
  EXPECT_TRUE(view.vector(0, 1));
  int slot = 1;
  while (slot < 64 && view.vector(slot, 1)) ++slot;
  EXPECT_LT(slot, 20);
}

TEST(Flatbuffer, RefusesTwoGigabytes) {
  FlatTable root;
  root.blob(0, 0);
  const std::array<int64_t, 1> sizes = {int64_t{1} << 31};
  EXPECT_FALSE(lay_flat(root, "TST1", sizes, 16));
}

}  // namespace
}  // namespace nibble
