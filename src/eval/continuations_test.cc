#include "eval/continuations.h"

#include "base/test_util.h"

namespace nibble {
namespace {

constexpr const char* kTales = NIBBLE_SOURCE_DIR "/models/tales-3.7m";

std::string text_of(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  return tokenizer.decode(ids, /*skip_special=*/false).value();
}

TEST(Continuation, IsCutBehindTheContext) {
  auto tokenizer = load_tokenizer(kTales).value();
  auto c = split_continuation(*tokenizer, "Once upon a ", " time").value();
  EXPECT_EQ(text_of(*tokenizer, c.context), "<|endoftext|>Once upon a");
  EXPECT_EQ(text_of(*tokenizer, c.ids), "  time");
  // A text that brings its own begin-of-text gets no second one.
  c = split_continuation(*tokenizer, "<|endoftext|>Once", " upon").value();
  EXPECT_EQ(text_of(*tokenizer, c.context), "<|endoftext|>Once");
  c = split_continuation(*tokenizer, "", "Once").value();
  EXPECT_EQ(c.context, (std::vector<int32_t>{*tokenizer->bos}));
  EXPECT_EQ(text_of(*tokenizer, c.ids), "Once");
  EXPECT_TRUE(fails_with(split_continuation(*tokenizer, "Once", ""), "adds no token"));
}

// One pass over context and continuation together is what a likelihood means; contexts that are
// shared, in any order and batch, change nothing but the order of sums.
TEST(Continuation, SharedContextsScoreAsWholeSequences) {
  Decoder model = Decoder::load(kTales, Activations::kFloat).value();
  auto tokenizer = load_tokenizer(kTales).value();
  std::vector<Continuation> all;
  for (auto [context, text] : std::vector<std::pair<const char*, const char*>>{
           {"Once upon a", " time"},
           {"Once upon a", " time, there was a little girl"},
           {"Once upon a", " mountain of stones"},
           {"The dog", " said hello"},
           {"Once upon a", " time"}})
    all.push_back(split_continuation(*tokenizer, context, text).value());
  std::vector<Likelihood> together = score_continuations(model, all);
  ASSERT_EQ(together.size(), all.size());
  for (size_t i = 0; i < all.size(); ++i) {
    std::vector<int32_t> ids = all[i].context;
    ids.insert(ids.end(), all[i].ids.begin(), all[i].ids.end());
    KvCache cache = model.make_cache(static_cast<int64_t>(ids.size()));
    Slice slice{&cache, 0, static_cast<int64_t>(ids.size())};
    std::vector<float> logits;
    model.forward(ids, {&slice, 1}, Decoder::Rows::kAll, logits);
    int64_t vocab = model.config().vocab;
    double log = 0;
    bool greedy = true;
    for (size_t at = all[i].context.size(); at < ids.size(); ++at) {
      const float* row = logits.data() + static_cast<int64_t>(at - 1) * vocab;
      double total = 0;
      for (int64_t v = 0; v < vocab; ++v) total += std::exp(static_cast<double>(row[v]));
      log += row[ids[at]] - std::log(total);
      greedy = greedy && std::max_element(row, row + vocab) - row == ids[at];
    }
    EXPECT_NEAR(together[i].log, log, 1e-4) << i;
    EXPECT_EQ(together[i].greedy, greedy) << i;
  }
  EXPECT_TRUE(together[0].greedy);
  EXPECT_FALSE(together[2].greedy);
}

TEST(Continuation, LongContextsLoseTheirBeginning) {
  Decoder model = Decoder::load(kTales, Activations::kFloat, 16).value();
  Continuation c{.context = std::vector<int32_t>(20, 5), .ids = {1, 2, 3}};
  c.context.back() = 7;
  ASSERT_TRUE(succeeds(fit_continuation(model, c)));
  EXPECT_EQ(c.context.size(), 14u);  // the last id is not read
  EXPECT_EQ(c.context.back(), 7);
  c.ids.assign(17, 1);
  EXPECT_TRUE(fails_with(fit_continuation(model, c), "do not fit"));
  c.ids = {100000};
  EXPECT_TRUE(fails_with(fit_continuation(model, c), "outside the vocabulary"));
}

}  // namespace
}  // namespace nibble
