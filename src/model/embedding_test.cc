#include "model/embedding.h"

#include <gtest/gtest.h>

namespace nibble {
namespace {

TEST(Embedding, RowsOfFloatsAndOfCodesAreTheSameNumbers) {
  // Values that w4 with scale 1 holds exactly.
  constexpr int64_t kVocab = 5, kHidden = 6;
  Scheme scheme = *Scheme::parse("w4");
  QuantizedBuilder builder(scheme, kVocab, kHidden);
  std::vector<float> values;
  for (int64_t r = 0; r < kVocab; ++r) {
    std::vector<uint8_t> codes;
    for (int64_t j = 0; j < kHidden; ++j) {
      codes.push_back(static_cast<uint8_t>((3 * r + 5 * j) % 16));
      values.push_back(static_cast<float>(codes.back() - 8));
    }
    builder.set_row(r, codes.data(), std::array{Grid{1, 8}});
  }
  auto bytes = std::as_bytes(std::span(values));
  Embedding floats(own_bytes(DType::kF32, {kVocab, kHidden}, {bytes.begin(), bytes.end()}));
  Embedding codes(builder.finish());
  std::vector<int32_t> ids = {4, 0, 4, 2};
  std::vector<float> from_floats, from_codes;
  floats.rows(ids, from_floats);
  codes.rows(ids, from_codes);
  ASSERT_EQ(from_floats.size(), 4u * kHidden);
  EXPECT_EQ(from_floats, from_codes);
  EXPECT_EQ(from_floats[0], values[4 * kHidden]);
}

}  // namespace
}  // namespace nibble
