// A block taken apart and put together again, against the floats that ggml_blocks.h makes of it.
#include "tensor/ggml_grids.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

namespace nibble {
namespace {

// Random bytes whose float16 numbers are ordinary ones.
std::vector<std::byte> random_block(const GgmlType& type, std::mt19937& random) {
  std::vector<std::byte> block(static_cast<size_t>(type.bytes));
  for (std::byte& b : block) b = static_cast<std::byte>(random() & 255);
  bool behind = type.name == "Q2_K" || type.name == "Q3_K" || type.name == "Q6_K";
  size_t first = behind ? block.size() - (type.name == "Q2_K" ? 4 : 2) : 0;
  bool two = type.name == "Q2_K" || type.name == "Q4_1" || type.name == "Q5_1" ||
             type.name == "Q4_K" || type.name == "Q5_K";
  for (size_t i = 0; i < (two ? 2u : 1u); ++i) {
    uint16_t half = float_to_f16(.01f + static_cast<float>(random() % 100) * .01f);
    std::memcpy(block.data() + first + 2 * i, &half, 2);
  }
  return block;
}

TEST(GgmlGrids, ABlockIsItsGridsAndCodes) {
  std::mt19937 random(3);
  int types = 0;
  for (const GgmlType& type : ggml_types()) {
    const GgmlGrids* form = ggml_grids(type);
    if (!form) continue;
    ++types;
    for (int trial = 0; trial < 50; ++trial) {
      std::vector<std::byte> block = random_block(type, random);
      auto size = static_cast<size_t>(type.block);
      std::vector<float> theirs(size), ours;
      std::vector<uint8_t> codes(size);
      type.to_float(block.data(), 1, theirs.data());
      ggml_codes(type, block.data(), 1, codes.data());
      std::vector<Grid> grids;
      for (int64_t g = 0; g < type.block / form->group; ++g)
        grids.push_back(ggml_grid(type, block.data(), g));
      for (size_t e = 0; e < size; ++e)
        ours.push_back(decode(codes[e], grids[e / static_cast<size_t>(form->group)]));
      ASSERT_EQ(ours, theirs) << type.name;
      std::vector<std::byte> again(block.size());
      put_ggml_block(type, grids, codes.data(), again.data());
      ASSERT_EQ(again, block) << type.name;
    }
  }
  EXPECT_EQ(types, 12);
}

TEST(GgmlGrids, ARowOfBlocksIsItsBlocks) {
  constexpr size_t kBlocks = 5;
  std::mt19937 random(4);
  for (const GgmlType& type : ggml_types()) {
    const GgmlGrids* form = ggml_grids(type);
    if (!form) continue;
    std::vector<std::byte> row;
    std::vector<uint8_t> alone, codes(kBlocks * static_cast<size_t>(type.block));
    std::vector<uint16_t> d, m;
    for (size_t b = 0; b < kBlocks; ++b) {
      std::vector<std::byte> block = random_block(type, random);
      row.insert(row.end(), block.begin(), block.end());
      alone.resize(alone.size() + static_cast<size_t>(type.block));
      ggml_codes(type, block.data(), 1, alone.data() + b * static_cast<size_t>(type.block));
      if (form->two_levels()) continue;
      Grid grid = ggml_grid(type, block.data(), 0);
      d.push_back(float_to_f16(grid.scale));
      m.push_back(float_to_f16(-grid.low));
    }
    ggml_codes(type, row.data(), kBlocks, codes.data());
    EXPECT_EQ(codes, alone) << type.name;
    if (form->two_levels()) continue;
    std::vector<std::byte> again(row.size(), std::byte{0xa5});
    put_ggml_blocks(type, kBlocks, d.data(), m.data(), codes.data(), again.data());
    EXPECT_EQ(again, row) << type.name;
  }
}

TEST(GgmlGrids, SchemesHaveTheirNames) {
  for (const char* name : {"q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q2_k", "q3_k", "q4_k", "q5_k",
                           "q6_k", "iq4_nl", "iq4_xs"}) {
    auto scheme = Scheme::parse(name);
    ASSERT_TRUE(scheme) << name;
    EXPECT_EQ(scheme->name(), name);
    EXPECT_EQ(scheme->groups(512), 512 / ggml_grids(*scheme->blocks)->group);
  }
  EXPECT_FALSE(Scheme::parse("q4_k_m"));
  EXPECT_FALSE(Scheme::parse("f16"));
  EXPECT_FALSE(Scheme::parse("Q4_K"));
}

TEST(GgmlGrids, EveryLevelIsItsOwnNearest) {
  Grid grid =
      ggml_grid_of(*ggml_grids(*find_ggml_type(std::string_view("IQ4_NL"))), {.5f, 0}, 1, 1);
  Scheme scheme = *Scheme::parse("iq4_nl");
  for (int code = 0; code < 16; ++code) EXPECT_EQ(encode(decode(code, grid), grid, scheme), code);
  EXPECT_EQ(encode(-1e9f, grid, scheme), 0);
  EXPECT_EQ(encode(1e9f, grid, scheme), 15);
}

}  // namespace
}  // namespace nibble
