#include "export/bitsandbytes_layout.h"

#include <cmath>
#include <numeric>

#include "base/test_util.h"

namespace nibble {
namespace {

TEST(Bitsandbytes, CodesOfATableComeBackAndTheFirstIsInTheHighBits) {
  for (bool nf4 : {true, false}) {
    std::vector<float> values;
    for (int i = 0; i < 64; ++i) values.push_back(3 * bnb_codes(nf4)[static_cast<size_t>(i % 16)]);
    std::vector<float> absmax = block_absmax(values, kBnbBlock);
    ASSERT_EQ(absmax, std::vector<float>{3});
    std::vector<std::byte> packed = bnb_pack(values, absmax, nf4);
    ASSERT_EQ(packed.size(), 32u);
    for (size_t i = 0; i < 64; ++i) {
      int code = static_cast<int>(packed[i / 2]) >> (i % 2 ? 0 : 4) & 15;
      EXPECT_EQ(bnb_codes(nf4)[static_cast<size_t>(code)] * 3, values[i]) << i;
    }
  }
}

TEST(Bitsandbytes, AShortLastBlockHasItsOwnAbsmax) {
  std::vector<float> values(67, 1.f);
  values[66] = -4;
  EXPECT_EQ(block_absmax(values, kBnbBlock), (std::vector<float>{1, 4}));
  EXPECT_EQ(bnb_pack(values, block_absmax(values, kBnbBlock), true).size(), 34u);
}

// As create_dynamic_map of bitsandbytes 0.50 has it.
TEST(Bitsandbytes, DynamicMap) {
  auto map = bnb_dynamic_map();
  ASSERT_EQ(map.size(), 256u);
  EXPECT_TRUE(std::is_sorted(map.begin(), map.end()));
  EXPECT_FLOAT_EQ(map[0], -0.99296875f);
  EXPECT_FLOAT_EQ(map[1], -0.97890625f);
  EXPECT_EQ(map[127], 0);
  EXPECT_FLOAT_EQ(map[128], 5.5e-7f);
  EXPECT_EQ(map[255], 1);
}

TEST(Bitsandbytes, NestedAbsmaxComesBackWithinItsMapsSteps) {
  std::vector<float> absmax;
  for (int i = 0; i < 600; ++i) absmax.push_back(0.05f + 0.01f * std::sin(static_cast<float>(i)));
  NestedAbsmax nested = nest_absmax(absmax);
  ASSERT_EQ(nested.absmax.size(), 3u);
  for (size_t i = 0; i < absmax.size(); ++i) {
    float back = bnb_dynamic_map()[static_cast<size_t>(nested.codes[i])] * nested.absmax[i / 256] +
                 nested.offset;
    EXPECT_NEAR(back, absmax[i], 0.01f / 128);
  }
}

TEST(Bitsandbytes, RowsRoundToTheirLargest) {
  std::vector<float> w = {1, -2, 0.5f, 2, 0, 0, 0, 0};
  std::vector<float> absmax = block_absmax(w, 4);
  std::vector<std::byte> rows = bnb_rows(w, absmax);
  EXPECT_EQ(static_cast<int8_t>(rows[0]), 64);  // 63.5 to even
  EXPECT_EQ(static_cast<int8_t>(rows[1]), -127);
  EXPECT_EQ(static_cast<int8_t>(rows[2]), 32);
  EXPECT_EQ(static_cast<int8_t>(rows[4]), 0);
}

}  // namespace
}  // namespace nibble
