#include "cli/common.h"

#include <gtest/gtest.h>

namespace nibble {
namespace {

using Ids = std::vector<int32_t>;

TEST(IdList, ReadsWhatPeopleWrite) {
  EXPECT_EQ(*parse_ids("1,5,9"), (Ids{1, 5, 9}));
  EXPECT_EQ(*parse_ids(" 1, 5\n9 "), (Ids{1, 5, 9}));
  EXPECT_EQ(*parse_ids("[0, 2147483647]\n"), (Ids{0, 2147483647}));
  EXPECT_EQ(*parse_ids(""), Ids{});
  EXPECT_EQ(*parse_ids("[]"), Ids{});
}

TEST(IdList, RefusesTheRestAsUsage) {
  for (const char* bad : {"1,x", "-1", "1.5", "2147483648", "99999999999999999999", "0x10", "1;2",
                          "[1", "[[1]]", "+1"}) {
    auto ids = parse_ids(bad);
    ASSERT_FALSE(ids) << bad;
    EXPECT_EQ(ids.error().kind, Error::Kind::kUsage) << bad;
  }
}

TEST(IdList, IsCheckedAgainstTheVocabulary) {
  EXPECT_TRUE(check_ids(Ids{0, 9}, 10));
  EXPECT_FALSE(check_ids(Ids{0, 10}, 10));
  EXPECT_EQ(ids_text(Ids{3, 1}), "3,1");
}

TEST(BytesText, UsesDecimalUnits) {
  EXPECT_EQ(bytes_text(999), "999 B");
  EXPECT_EQ(bytes_text(1000), "1.0 kB");
  EXPECT_EQ(bytes_text(7348736), "7.3 MB");
  EXPECT_EQ(bytes_text(999999999), "1.00 GB");
  EXPECT_EQ(bytes_text(2200000000), "2.20 GB");
}

}  // namespace
}  // namespace nibble
