// What files and texts that are broken or huge do to tokenizers: one-line errors, and time that
// grows with the length.

#include "text/tokenizer_test_files.h"

namespace nibble {
namespace {

using TokenizerLimits = TokenizerFiles;

TEST_F(TokenizerLimits, BadBpeFiles) {
  struct Case {
    std::string json, error;
  };
  const std::string ab = R"("a": 0, "b": 1, "ab": 2)";
  for (const auto& [json, error] : std::vector<Case>{
           {"", "not valid JSON"},
           {"[]", "should hold a JSON object"},
           {"{}", "\"model\" is missing"},
           {R"({"model": {"type": "Odd"}})", "model \"Odd\" is not supported"},
           {R"({"model": {"type": "WordPiece", "vocab": {"a": "0"}}})", "whole numbers"},
           {R"({"model": {"type": "WordPiece", "vocab": {")" + std::string(2000, 'a') +
                R"(": 0}}})",
            "token 0 has 2000 bytes"},
           {R"({"model": {"type": "BPE", "vocab": {"a": 0, "##a": 1, "aa": 2}, "merges": ["a a"],
              "continuing_subword_prefix": "##"}})",
            "right side of merge 0 does not begin with \"##\""},
           {bpe_json(ab, "",
                     R"("normalizer": {"type": "Precompiled", "precompiled_charsmap": "A"})"),
            "not base64"},
           {bpe_json(ab, "",
                     R"("normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"})"),
            "charsmap of 3 bytes is damaged"},
           {bpe_json(ab, "", R"("pre_tokenizer": {"type": "FixedLength", "length": 0})"),
            "above 0"},
           {bpe_json(ab, "",
                     R"("pre_tokenizer": {"type": "CharDelimiterSplit", "delimiter": "xy"})"),
            "should be one character"},
           {bpe_json(ab, "", R"("post_processor": {"type": "BertProcessing", "cls": ["a", 0]})"),
            "\"sep\" should be [text, id]"},
           {bpe_json(ab, R"("a c")"), "merge 0 names \"c\""},
           {bpe_json(ab, R"("b a")"), "merge 0 names \"ba\""},
           {bpe_json(ab, R"("a ")"), "merge 0 is not a pair"},
           {bpe_json(ab, R"("ab")"), "merge 0 is not a pair"},
           {bpe_json(ab, R"(["a"])"), "merge 0 is not a pair"},
           {bpe_json(ab, R"(7)"), "merge 0 is not a pair"},
           {bpe_json(R"("": 0, "a": 1)", R"(["", "a"])"), "merge 0 is not a pair"},
           {bpe_json(R"("a": 0, "b": 0)", ""), "given to both \"a\" and \"b\""},
           {bpe_json(R"("a": 0, "a": 1)", ""), "appears twice"},
           {bpe_json(R"("a": -1)", ""), "out of range"},
           {bpe_json(R"("a": 2000000000)", ""), "out of range"},
           {bpe_json(R"("a": 99999999999999999999)", ""), "whole numbers"},
           {bpe_json(R"("a": "0")", ""), "whole numbers"},
           {bpe_json(R"("a": [0])", ""), "whole numbers"},
           {bpe_json(ab, "", R"("normalizer": {"type": "Odd"})"), "normalizer \"Odd\""},
           {bpe_json(ab, "", R"("pre_tokenizer": {"type": "Odd"})"), "pre-tokenizer \"Odd\""},
           {bpe_json(ab, "", R"("decoder": {"type": "Odd"})"), "decoder \"Odd\""},
           {bpe_json(ab, "", R"("post_processor": {"type": "Odd"})"), "post-processor \"Odd\""},
           {bpe_json(ab, "", R"("normalizer": {"type": "Replace", "pattern": {"Regex": "("}})"),
            "regular expression \"(\""},
           {bpe_json(ab, "", R"("added_tokens": [{"id": 1, "content": "x"}])"), "already taken"},
           {bpe_json(ab, "", R"("added_tokens": [{"id": 1e9, "content": "x"}])"), "whole number"},
           {bpe_json(ab, "", R"("added_tokens": [{"id": 1000000000, "content": "x"}])"),
            "out of range"},
           {bpe_json(ab, "", R"("added_tokens": [{"id": 3, "content": ""}])"), "has 0 bytes"},
           {bpe_json(
                ab, "",
                R"("added_tokens": [{"id": 3, "content": ")" + std::string(1 << 20, 'x') + "\"}]"),
            "has 1048576 bytes"},
           {bpe_json(ab, "", R"("post_processor": {"type": "TemplateProcessing", "single": [
              {"SpecialToken": {"id": "s"}}, {"Sequence": {"id": "A"}}],
              "special_tokens": {"s": {"ids": [3]}}})"),
            "token id 3 is not in the vocabulary of 3"},
       }) {
    std::string message = error_of("tokenizer.json", json);
    EXPECT_NE(message.find(error), std::string::npos) << message << "\nfor " << json.substr(0, 200);
  }
}

TEST_F(TokenizerLimits, DeepAndTruncatedJson) {
  std::string deep(100000, '[');
  EXPECT_NE(error_of("tokenizer.json", deep).find("deeper"), std::string::npos);
  std::string whole = bpe_json(R"("a": 0, "b": 1, "ab": 2)", R"("a b")");
  ASSERT_TRUE(load_json(whole));
  for (size_t n = 0; n < whole.size(); ++n)
    EXPECT_NE(error_of("tokenizer.json", whole.substr(0, n)), "loaded");
}

TEST_F(TokenizerLimits, TextAndIdsOutsideTheVocabulary) {
  auto t = load_json(bpe_json(R"("a": 0, "b": 1, "ab": 2)", R"("a b")"));
  ASSERT_TRUE(t);
  EXPECT_EQ((*t)->encode("aab", false).value(), (Ids{0, 2}));
  EXPECT_EQ((*t)->encode("xaxbx", false).value(), (Ids{0, 1}));  // no unk: unknowns vanish
  for (std::string_view bad :
       {"a\xFF", "a\xC3", "a\xED\xA0\x80", "a\xF5\x80\x80\x80", "a\xC0\x80"}) {
    auto ids = (*t)->encode(bad, false);
    ASSERT_FALSE(ids);
    EXPECT_EQ(ids.error().message, "text is not UTF-8 at byte 1");
  }
  for (int32_t id : {-1, 3, INT32_MAX, INT32_MIN}) {
    EXPECT_FALSE((*t)->decode(Ids{id}, true));
    EXPECT_EQ((*t)->piece(id), "");
    EXPECT_FALSE((*t)->is_special(id));
    EXPECT_FALSE(StreamDecoder(**t).push(id));
  }
}

TEST_F(TokenizerLimits, BadSentencePieceFiles) {
  std::string shared = NIBBLE_SOURCE_DIR "/../shared/data/tokenizers/spm512.model";
  if (!path_exists(shared)) GTEST_SKIP() << "no file " << shared;
  std::string whole = *read_file(shared);
  for (size_t n = 0; n < whole.size(); n += n < 600 ? 1 : 97)
    load_as("tokenizer.model", whole.substr(0, n));
  uint64_t state = 1;
  for (int round = 0; round < 400; ++round) {
    std::string broken = whole;
    for (int k = 0; k < 3; ++k) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      broken[(state >> 33) % broken.size()] = static_cast<char>(state >> 24);
    }
    auto t = load_as("tokenizer.model", broken);
    if (!t) continue;
    auto ids = (*t)->encode(" Once upon\xE2\x96\x81 a time\n\xE4\xB8\xAD", true);
    if (ids) EXPECT_TRUE((*t)->decode(*ids, false));
  }
  EXPECT_NE(error_of("tokenizer.model", "").find("holds no pieces"), std::string::npos);
  EXPECT_NE(error_of("tokenizer.model", whole.substr(0, 100)).find("cut off"), std::string::npos);
  EXPECT_NE(
      error_of("tokenizer.model", "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01").find("cut off"),
      std::string::npos);
}

// A word of any length merges as one of few symbols does: the two loops against each other.
TEST_F(TokenizerLimits, MissingFiles) {
  auto t = load_tokenizer(folder_.string());
  ASSERT_FALSE(t);
  EXPECT_NE(t.error().message.find("neither tokenizer.json nor tokenizer.model"),
            std::string::npos);
  EXPECT_FALSE(load_tokenizer((folder_ / "none.json").string()));
  ASSERT_TRUE(write_file((folder_ / "tokenizer_config.json").string(),
                         R"({"eos_token": {"content": "z"}})"));
  t = load_json(bpe_json(R"("a": 0)", ""));
  ASSERT_FALSE(t);
  EXPECT_NE(t.error().message.find("tokenizer_config.json: token \"z\" is not"), std::string::npos);
}

// GPT-2's split by hand against PCRE2: every code point, alone and between others.
std::string repeated(std::string_view unit, size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += unit;
  return text;
}

std::string random_ascii(size_t bytes) {
  std::string text;
  uint64_t state = 1;
  while (text.size() < bytes) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    text += static_cast<char>((state >> 33) % 128);
  }
  return text;
}

// Quadratic work on any of these would take minutes; bench/tokenizer measures how time grows.
TEST(Tokenizer, LongRunsOfOneKindEncode) {
  std::string folder = NIBBLE_SOURCE_DIR "/../shared/data/tokenizers/";
  if (!path_exists(folder)) GTEST_SKIP() << "no folder " << folder;
  for (const char* file : {"llama2.tokenizer.json", "gptneox_20B_tokenizer.json", "llama2.model"}) {
    auto t = load_tokenizer(folder + file);
    ASSERT_TRUE(t);
    constexpr size_t kBytes = 1'000'000;
    for (const char* unit : {"a", " ", "\n", "ab", "\xCC\x81"}) {
      auto ids = (*t)->encode(repeated(unit, kBytes), false);
      ASSERT_TRUE(ids) << file << " " << unit;
      EXPECT_LT(ids->size(), 2 * kBytes) << file << " " << unit;
    }
    EXPECT_TRUE((*t)->encode(random_ascii(kBytes), false)) << file;
  }
}

// The same of the parts that those vocabularies have not.
TEST_F(TokenizerLimits, LongRunsThroughOtherParts) {
  const std::string words =
      R"("vocab": {"[UNK]": 0, "a": 1, "##a": 2, "##aa": 3, "b": 4, "aa": 5}, )";
  const std::string bert = R"("normalizer": {"type": "BertNormalizer"},
      "pre_tokenizer": {"type": "BertPreTokenizer"}, "decoder": {"type": "WordPiece"})";
  for (const std::string& json :
       {R"({"model": {"type": "WordPiece", )" + words + R"("max_input_chars_per_word": 100}, )" +
            bert + "}",
        R"({"model": {"type": "WordPiece", )" + words +
            R"("max_input_chars_per_word": 1000000000}, )" + bert + "}",
        R"({"model": {"type": "WordLevel", )" + words + R"("unk_token": "[UNK]"}})",
        R"({"model": {"type": "BPE", )" + words + R"("merges": ["a ##a", "##a ##a"],
            "unk_token": "[UNK]", "continuing_subword_prefix": "##"}})"}) {
    auto t = load_json(json);
    ASSERT_TRUE(t) << t.error().message;
    constexpr size_t kBytes = 1'000'000;
    for (const char* unit : {"a", " ", "ab", "\xCC\x81", "\xE4\xBD\xA0", " ."}) {
      auto ids = (*t)->encode(repeated(unit, kBytes), false);
      ASSERT_TRUE(ids) << json << unit << ids.error().message;
      EXPECT_TRUE((*t)->decode(*ids, false));
    }
    EXPECT_TRUE((*t)->encode(random_ascii(kBytes), false));
  }
}

}  // namespace
}  // namespace nibble
