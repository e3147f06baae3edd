#include "runtime/session.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"

namespace nibble {
namespace {

// tales-3.7m comes with the project, so these never skip.
const TextModel& tales() {
  static const TextModel model = [] {
    auto m = TextModel::load(NIBBLE_SOURCE_DIR "/models/tales-3.7m", Activations::kFloat, 64);
    if (!m) ADD_FAILURE() << m.error().message;
    return std::move(*m);
  }();
  return model;
}

GenerationOptions greedy(int64_t tokens) {
  GenerationOptions o;
  o.max_tokens = tokens;
  o.sampling.temperature = 0;
  return o;
}

std::vector<int32_t> once() { return *encode_prompt(*tales().tokenizer, "Once upon a time"); }

TEST(Session, PromptBeginsWithBeginOfText) {
  EXPECT_EQ(once(), (std::vector<int32_t>{0, 427, 437, 259, 395}));
  EXPECT_EQ(*encode_prompt(*tales().tokenizer, ""), std::vector<int32_t>{0});
}

TEST(Session, StreamsWhatItReturns) {
  std::string streamed;
  auto g = generate(tales(), once(), greedy(12), [&](std::string_view t) { streamed += t; });
  ASSERT_TRUE(g) << g.error().message;
  EXPECT_EQ(g->ids.size(), 12u);
  EXPECT_EQ(g->finish, Finish::kLength);
  EXPECT_EQ(streamed, g->text);
  EXPECT_TRUE(g->text.starts_with(", there was a little girl named Lily.")) << g->text;
}

TEST(Session, StopStringEndsTheTextBeforeIt) {
  GenerationOptions o = greedy(40);
  o.stop = {"girl named"};
  std::string streamed;
  auto g = generate(tales(), once(), o, [&](std::string_view t) { streamed += t; });
  ASSERT_TRUE(g);
  EXPECT_EQ(g->finish, Finish::kStop);
  EXPECT_EQ(g->text, ", there was a little ");
  EXPECT_EQ(streamed, g->text);
}

TEST(Session, ContextEndsTheText) {
  GenerationOptions o = greedy(1000);
  o.ignore_eos = true;
  auto g = generate(tales(), once(), o);
  ASSERT_TRUE(g);
  EXPECT_EQ(g->finish, Finish::kContext);
  EXPECT_EQ(g->ids.size(), 59u);  // 64 less the prompt's 5
}

TEST(Session, EndOfTextEndsTheText) {
  // A model that says end of text: any first token, declared to be one.
  auto first = generate(tales(), once(), greedy(1));
  ASSERT_TRUE(first);
  auto folder = std::string(NIBBLE_SOURCE_DIR "/models/tales-3.7m");
  TextModel model = *TextModel::load(folder, Activations::kFloat, 64);
  model.eos = first->ids;
  auto g = generate(model, once(), greedy(10));
  ASSERT_TRUE(g);
  EXPECT_EQ(g->finish, Finish::kEos);
  EXPECT_EQ(g->ids, first->ids);
  EXPECT_EQ(g->text, "");
  GenerationOptions on = greedy(10);
  on.ignore_eos = true;
  EXPECT_EQ(generate(model, once(), on)->ids.size(), 10u);
}

TEST(Session, SameSeedSameText) {
  GenerationOptions o;
  o.max_tokens = 30;
  o.sampling.seed = 3;
  auto a = generate(tales(), once(), o), b = generate(tales(), once(), o);
  o.sampling.seed = 4;
  auto c = generate(tales(), once(), o);
  EXPECT_EQ(a->ids, b->ids);
  EXPECT_NE(a->ids, c->ids);
}

TEST(Session, RefusesWhatCannotRun) {
  EXPECT_FALSE(generate(tales(), {}, greedy(1)));
  EXPECT_FALSE(generate(tales(), std::vector<int32_t>{5000}, greedy(1)));
  EXPECT_FALSE(generate(tales(), std::vector<int32_t>{-1}, greedy(1)));
  EXPECT_FALSE(generate(tales(), std::vector<int32_t>(64, 1), greedy(1)));
  EXPECT_TRUE(generate(tales(), std::vector<int32_t>(63, 1), greedy(1)));
  GenerationOptions o = greedy(1);
  o.stop = {""};
  EXPECT_FALSE(generate(tales(), once(), o));
  EXPECT_FALSE(generate(tales(), once(), greedy(-1)));
}

TEST(Session, ZeroTokensAreALength) {
  auto g = generate(tales(), once(), greedy(0));
  ASSERT_TRUE(g);
  EXPECT_TRUE(g->ids.empty());
  EXPECT_EQ(g->finish, Finish::kLength);
}

class EndOfTextTest : public testing::Test {
 protected:
  std::string folder_ = testing::TempDir() + "nibble_end_of_text";
  DecoderConfig config_;
  void SetUp() override {
    std::filesystem::create_directories(folder_);
    config_.vocab = 100;
    config_.eos = {2};
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  Result<std::vector<int32_t>> ids(const std::string& generation_config) {
    EXPECT_TRUE(write_file(folder_ + "/generation_config.json", generation_config));
    return end_of_text_ids(folder_, config_, nullptr);
  }
};

TEST_F(EndOfTextTest, JoinsBothFiles) {
  EXPECT_EQ(*end_of_text_ids(folder_, config_, nullptr), std::vector<int32_t>{2});
  EXPECT_EQ(*ids(R"({"eos_token_id": 7})"), (std::vector<int32_t>{2, 7}));
  EXPECT_EQ(*ids(R"({"eos_token_id": [2, 8, 9]})"), (std::vector<int32_t>{2, 8, 9}));
  EXPECT_EQ(*ids(R"({"eos_token_id": null})"), std::vector<int32_t>{2});
  EXPECT_EQ(*ids(R"({})"), std::vector<int32_t>{2});
}

TEST_F(EndOfTextTest, RefusesNonsense) {
  for (const char* bad :
       {R"({"eos_token_id": 100})", R"({"eos_token_id": -1})", R"({"eos_token_id": "x"})",
        R"({"eos_token_id": [[1]]})", R"({"eos_token_id": 1.5})",
        R"({"eos_token_id": 18446744073709551615})", "[", "[1]"})
    EXPECT_FALSE(ids(bad)) << bad;
}

TEST_F(EndOfTextTest, TalesHasOne) { EXPECT_EQ(tales().eos, std::vector<int32_t>{0}); }

}  // namespace
}  // namespace nibble
