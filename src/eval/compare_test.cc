#include "eval/compare.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>

#include "base/file.h"

namespace nibble {
namespace {

TEST(Summarize, PairedFigures) {
  TokenScores s;
  s.nll = {1.1, 2.3, 2.9, 4.1};
  s.reference_nll = {1, 2, 3, 4};
  s.kl = {.1, .4, .2, .3};
  s.agree = {1, 0, 1, 1};
  Comparison c = summarize(s);
  EXPECT_NEAR(c.perplexity, std::exp(2.6), 1e-12);
  EXPECT_NEAR(c.ratio, std::exp(.1), 1e-12);
  double half = 1.96 * std::sqrt((0 + .04 + .04 + 0) / 3 / 4);  // differences .1 .3 -.1 .1
  EXPECT_NEAR(c.ratio_high, std::exp(.1 + half), 1e-12);
  EXPECT_NEAR(c.ratio_low, std::exp(.1 - half), 1e-12);
  EXPECT_NEAR(c.kl_mean, .25, 1e-12);
  EXPECT_NEAR(c.kl_p99, .3 + .97 * .1, 1e-12);  // numpy.quantile([.1,.2,.3,.4], .99)
  EXPECT_EQ(c.kl_max, .4);
  EXPECT_EQ(c.top1, .75);
}

// One token a byte; begin-of-text is 300 where it is asked for.
class ByteTokenizer final : public Tokenizer {
 public:
  Result<std::vector<int32_t>> encode(std::string_view text, bool add_special) const override {
    std::vector<int32_t> ids;
    if (add_special) ids.push_back(300);
    for (char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  Result<std::string> decode(std::span<const int32_t>, bool) const override {
    return std::string();
  }
  std::string piece(int32_t) const override { return ""; }
  std::optional<int32_t> id_of(std::string_view) const override { return std::nullopt; }
  int64_t vocab_size() const override { return 301; }
  bool is_special(int32_t id) const override { return id == 300; }
};

Result<std::vector<Window>> windows(const std::string& text, WindowOptions options) {
  std::string path = testing::TempDir() + "nibble_protocol.txt";
  if (auto written = write_file(path, text); !written) return std::unexpected(written.error());
  return make_windows(ByteTokenizer(), 300, path, options);
}

TEST(Protocol, BosWindowsDropTheTail) {
  auto w = windows("abcdefgh", {Protocol::kBosWindows, 4, 0});
  ASSERT_TRUE(w);
  ASSERT_EQ(w->size(), 2u);
  EXPECT_EQ((*w)[1].ids, (std::vector<int32_t>{300, 'd', 'e', 'f'}));
  EXPECT_EQ((*w)[1].first_scored, 0);
}

TEST(Protocol, GptqHasSpecialTokensOnlyAtTheStart) {
  auto w = windows("abcdefg", {Protocol::kGptq, 4, 0});
  ASSERT_TRUE(w);
  ASSERT_EQ(w->size(), 2u);
  EXPECT_EQ((*w)[0].ids, (std::vector<int32_t>{300, 'a', 'b', 'c'}));
  EXPECT_EQ((*w)[1].ids, (std::vector<int32_t>{'d', 'e', 'f', 'g'}));
}

TEST(Protocol, LlamaCppScoresTheSecondHalf) {
  auto w = windows("abcdefghijk", {Protocol::kLlamaCpp, 4, 0});
  ASSERT_TRUE(w);
  ASSERT_EQ(w->size(), 3u);
  EXPECT_EQ((*w)[1].ids, (std::vector<int32_t>{300, 'e', 'f', 'g'}));
  EXPECT_EQ((*w)[1].first_scored, 2);
}

TEST(Protocol, TokensLimitAndShortText) {
  auto w = windows("abcdefgh", {Protocol::kBosWindows, 4, 5});
  ASSERT_TRUE(w);
  EXPECT_EQ(w->size(), 1u);
  auto none = windows("ab", {Protocol::kBosWindows, 4, 0});
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().message.find("less than one window"), std::string::npos);
  EXPECT_FALSE(parse_protocol("wikitext"));
}

}  // namespace
}  // namespace nibble
