#include "cli/sizes.h"

#include <gtest/gtest.h>

#include "formats/compressed_tensors.h"

namespace nibble {
namespace {

DecoderConfig small() {
  DecoderConfig c;
  c.hidden = 64, c.layers = 3, c.heads = 4, c.kv_heads = 2, c.head_dim = 16;
  c.mlp = 172, c.vocab = 100, c.context = 128, c.embedding_width = 64;
  c.blocks.resize(3);
  return c;
}

TEST(Sizes, ParametersByRole) {
  auto roles = parameters_by_role(small());
  ASSERT_TRUE(roles);
  int64_t total = 0;
  for (const RoleSize& r : *roles) total += r.parameters;
  // Two of 100 x 64 around three blocks of q, o (64 x 64), k, v (32 x 64), three of 172 x 64, two
  // norms.
  EXPECT_EQ(total, 2 * 6400 + 3 * (2 * 4096 + 2 * 2048 + 3 * 11008 + 128) + 64);
}

TEST(Sizes, StoredBytesAreThoseOfTheWrittenTensors) {
  for (const char* name : {"w8", "w8t", "w8-asym", "w4g128", "w4g32-asym", "w3g64-asym", "w3",
                           "w2g64", "w5t-asym", "w4g100-asym"}) {
    Scheme s = *Scheme::parse(name);
    int64_t n = 37, k = 172;
    QuantizedBuilder builder(s, n, k);
    std::vector<uint8_t> codes(static_cast<size_t>(k), 1);
    std::vector<Grid> grids(static_cast<size_t>(s.groups(k)));
    for (int64_t row = 0; row < n; ++row) builder.set_row(row, codes.data(), grids);
    int64_t written = 0;  // all but the shape, which carries no weight
    for (const NamedTensor& t : to_compressed_tensors("m", builder.finish()))
      if (!t.name.ends_with("weight_shape")) written += static_cast<int64_t>(t.view.bytes.size());
    EXPECT_EQ(QuantizedMatrix::stored_bytes(s, n, k), written) << name;
  }
}

TEST(Sizes, ASchemeCoversTheLinearsAlone) {
  DecoderConfig c = small();
  int64_t kept = 2 * 6400 + 3 * 128 + 64, linears = 3 * (2 * 4096 + 2 * 2048 + 3 * 11008);
  EXPECT_EQ(bytes_at(c, std::nullopt, 4), 4 * kept + 2 * linears);
  // A byte a code and a 16-bit scale an output row: 2 x 64, 2 x 32, 2 x 172 and 64 rows a block.
  EXPECT_EQ(bytes_at(c, *Scheme::parse("w8"), 4),
            4 * kept + linears + 3 * 2 * (2 * 64 + 2 * 32 + 2 * 172 + 64));
}

TEST(Sizes, AbsurdConfigsAreRefusedWithoutOverflow) {
  DecoderConfig c = small();
  c.hidden = c.mlp = c.vocab = c.heads = c.kv_heads = 1 << 24;
  c.head_dim = 4096;
  c.layers = 10000;
  c.blocks.resize(10000);
  c.context = int64_t{1} << 31;
  EXPECT_FALSE(parameters_by_role(c));
  EXPECT_FALSE(kv_cache_bytes(c, c.context));
}

}  // namespace
}  // namespace nibble
