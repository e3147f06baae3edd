// tools/make_text_score_vectors.py wrote what sacrebleu makes of random texts.
#include "base/json.h"
#include "base/test_util.h"
#include "eval/bleu.h"
#include "eval/chrf.h"

namespace nibble {
namespace {

constexpr double kClose = 1e-6;

struct Scores {
  std::vector<double> bleu_13a, bleu_intl, chrf;  // sums of parts
  void add(const std::string& text, std::span<const std::string> references) {
    auto plus = [](std::vector<double>& sums, const std::vector<double>& parts) {
      sums.resize(parts.size());
      for (size_t i = 0; i < parts.size(); ++i) sums[i] += parts[i];
    };
    plus(bleu_13a, bleu_parts(text, references, BleuWords::k13a));
    plus(bleu_intl, bleu_parts(text, references, BleuWords::kIntl));
    plus(chrf, chrf_parts(text, references));
  }
  void expect(const Json& known, const std::string& what) const {
    EXPECT_NEAR(bleu_score(bleu_13a), known[0].get<double>(), kClose) << what;
    EXPECT_NEAR(bleu_score(bleu_intl), known[1].get<double>(), kClose) << what;
    EXPECT_NEAR(chrf_score(chrf), known[2].get<double>(), kClose) << what;
  }
};

TEST(TextScores, AreThoseOfSacrebleu) {
  auto known = read_json(NIBBLE_SOURCE_DIR "/tests/text_scores.json");
  ASSERT_TRUE(succeeds(known));
  auto pairs = (*known)["pairs"].get<std::vector<std::array<std::string, 2>>>();
  ASSERT_GE(pairs.size(), 1000u);
  Scores all, two;
  for (size_t i = 0; i < pairs.size(); ++i) {
    auto& [text, reference] = pairs[i];
    Scores one;
    one.add(text, std::array{reference});
    one.expect((*known)["each"][i], text + " : " + reference);
    all.add(text, std::array{reference});
    two.add(text, std::array{reference, pairs[(i + 1) % pairs.size()][1]});
  }
  all.expect((*known)["all"], "all");
  two.expect((*known)["two_references"], "two references");
}

TEST(TextScores, WordsOfBothCuts) {
  auto words = [](std::string_view text, BleuWords cut) {
    std::string out;
    for (const std::u32string& word : bleu_words(text, cut)) {
      for (char32_t c : word) out += static_cast<char>(c);
      out += '|';
    }
    return out;
  };
  EXPECT_EQ(words("a,b 1,000.5 3-4 x. &lt;b", BleuWords::k13a), "a|,|b|1,000.5|3|-|4|x|.|<|b|");
  EXPECT_EQ(words("a,b 1,000.5 x. $5 1.", BleuWords::kIntl), "a|,|b|1,000.5|x|.|$|5|1.|");
  EXPECT_EQ(words(" \t\n", BleuWords::k13a), "");
}

}  // namespace
}  // namespace nibble
