#include "tensor/scheme.h"

#include "base/test_util.h"

namespace nibble {
namespace {

TEST(SchemeName, RoundTrips) {
  for (int bits = 2; bits <= 8; ++bits)
    for (const char* group : {"", "t", "g1", "g32", "g128", "g16777216"})
      for (const char* tail : {"", "-asym", "-full"}) {
        std::string name = fmt::format("w{}{}{}", bits, group, tail);
        auto scheme = Scheme::parse(name);
        ASSERT_TRUE(succeeds(scheme)) << name;
        EXPECT_EQ(scheme->name(), name);
        EXPECT_EQ(scheme->bits, bits);
      }
}

TEST(SchemeName, MeansWhatItSays) {
  Scheme s = Scheme::parse("w3g64-asym").value();
  EXPECT_EQ(s.bits, 3);
  EXPECT_EQ(s.group, 64);
  EXPECT_TRUE(s.asymmetric());
  EXPECT_EQ(Scheme::parse("w8").value().group, Scheme::kChannel);
  EXPECT_EQ(Scheme::parse("w8t").value().group, Scheme::kTensor);
  EXPECT_EQ(Scheme::parse("w4-full").value().symmetry, Symmetry::kFullRange);
}

TEST(SchemeName, RefusesEverythingElse) {
  for (const char* bad : {"",
                          "w",
                          "w4 ",
                          " w4",
                          "W4",
                          "w1",
                          "w9",
                          "w16",
                          "w44",
                          "w4g",
                          "w4g0",
                          "w4g-1",
                          "w4g128 ",
                          "w4g16777217",
                          "w4g99999999999999999999",
                          "w4tg32",
                          "w4t32",
                          "w4-",
                          "w4-sym",
                          "w4asym",
                          "w4-asym-full",
                          "w4g+32",
                          "w4g0x20",
                          "4g128",
                          "w4g128-ASYM",
                          "w4\n"}) {
    auto scheme = Scheme::parse(bad);
    ASSERT_FALSE(scheme) << bad;
    EXPECT_EQ(scheme.error().kind, Error::Kind::kUsage);
  }
}

TEST(Scheme, CodesAndGroups) {
  Scheme s = Scheme::parse("w4g100").value();
  EXPECT_EQ(s.groups(300), 3);
  EXPECT_EQ(s.groups(301), 4);
  EXPECT_EQ(s.groups(99), 1);
  EXPECT_EQ(s.group_size(99), 99);
  EXPECT_EQ(s.min_code(), 0);
  EXPECT_EQ(s.max_code(), 15);
  EXPECT_EQ(s.symmetric_zero(), 8);
  EXPECT_EQ(Scheme::parse("w8").value().min_code(), 1);
  EXPECT_EQ(Scheme::parse("w8-full").value().min_code(), 0);
  EXPECT_EQ(Scheme::parse("w8-asym").value().min_code(), 0);
  EXPECT_EQ(Scheme::parse("w8").value().groups(77), 1);
}

}  // namespace
}  // namespace nibble
