#include "base/protobuf.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace nibble {
namespace {

TEST(Protobuf, WritesTheEncodingsOfTheSpecification) {
  // protobuf.dev/programming-guides/encoding: field 1 = 150, field 2 = "testing".
  ProtoWriter w;
  w.integer(1, 150);
  w.text(2, "testing");
  EXPECT_EQ(w.bytes(), std::string("\x08\x96\x01\x12\x07testing"));
  ProtoWriter packed;
  packed.integers(6, std::vector<int64_t>{3, 270, 86942});
  EXPECT_EQ(packed.bytes(), std::string("\x32\x06\x03\x8E\x02\x9E\xA7\x05"));
}

TEST(Protobuf, ReadsWhatItWrote) {
  ProtoWriter inner, w;
  inner.real(20, -1.5f);
  w.integer(1, -1);
  w.integer(300, std::numeric_limits<int64_t>::max());
  w.message(2, inner);
  ProtoReader reader(w.bytes(), "x");
  auto field = reader.next();
  EXPECT_EQ(*(**field).as_int("x"), -1);
  field = reader.next();
  EXPECT_EQ((**field).number, 300);
  EXPECT_EQ(*(**field).as_int("x"), std::numeric_limits<int64_t>::max());
  field = reader.next();
  ProtoReader of_inner(*(**field).as_bytes("x"), "x");
  auto real = of_inner.next();
  EXPECT_EQ((**real).number, 20);
  EXPECT_EQ(*(**real).as_float("x"), -1.5f);
  field = reader.next();
  ASSERT_TRUE(field);
  EXPECT_FALSE(*field);
}

}  // namespace
}  // namespace nibble
