// What files and texts that are broken, odd or huge do to tokenizers: one-line errors, the same
// result by every path, and time that grows with the length.
#include <gtest/gtest.h>
#include <unistd.h>

#include <ctime>
#include <filesystem>

#include "base/file.h"
#include "text/byte_level.h"
#include "text/normalizers.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

// A folder of this test alone, gone with it.
class Limits : public testing::Test {
 protected:
  Limits()
      : folder_(fs::temp_directory_path() /
                fmt::format("nibble_text_{}_{}", ::getpid(),
                            testing::UnitTest::GetInstance()->current_test_info()->name())) {
    fs::create_directories(folder_);
  }
  ~Limits() override { fs::remove_all(folder_); }

  Result<std::unique_ptr<Tokenizer>> load_as(const std::string& name, std::string_view content) {
    std::string path = (folder_ / name).string();
    EXPECT_TRUE(write_file(path, content));
    return load_tokenizer(path);
  }
  auto load_json(std::string_view content) { return load_as("tokenizer.json", content); }
  // The error of loading `content`: one line that names the file.
  std::string error_of(const std::string& name, std::string_view content) {
    auto t = load_as(name, content);
    if (t) return "loaded";
    EXPECT_NE(t.error().message.find(name), std::string::npos) << t.error().message;
    EXPECT_EQ(t.error().message.find('\n'), std::string::npos);
    return t.error().message;
  }
  fs::path folder_;
};

using Ids = std::vector<int32_t>;

std::string bpe_json(const std::string& vocab, const std::string& merges,
                     const std::string& rest = "") {
  return R"({"model": {"type": "BPE", "vocab": {)" + vocab + R"(}, "merges": [)" + merges + "]}" +
         (rest.empty() ? "" : ", " + rest) + "}";
}

TEST_F(Limits, BadBpeFiles) {
  struct Case {
    std::string json, error;
  };
  const std::string ab = R"("a": 0, "b": 1, "ab": 2)";
  for (const auto& [json, error] : std::vector<Case>{
           {"", "not valid JSON"},
           {"[]", "should hold a JSON object"},
           {"{}", "\"model\" is missing"},
           {R"({"model": {"type": "WordLevel"}})", "model \"WordLevel\" is not supported"},
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

TEST_F(Limits, DeepAndTruncatedJson) {
  std::string deep(100000, '[');
  EXPECT_NE(error_of("tokenizer.json", deep).find("deeper"), std::string::npos);
  std::string whole = bpe_json(R"("a": 0, "b": 1, "ab": 2)", R"("a b")");
  ASSERT_TRUE(load_json(whole));
  for (size_t n = 0; n < whole.size(); ++n)
    EXPECT_NE(error_of("tokenizer.json", whole.substr(0, n)), "loaded");
}

TEST_F(Limits, TextAndIdsOutsideTheVocabulary) {
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

TEST_F(Limits, BadSentencePieceFiles) {
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
TEST_F(Limits, LongAndShortWordsMergeAlike) {
  auto t = load_json(bpe_json(
      R"("a": 0, "b": 1, "c": 2, "ab": 3, "bc": 4, "aa": 5, "abc": 6, "aab": 7, "aabc": 8, "abab": 9)",
      R"("b c", "a a", "a b", "a bc", "ab c", "aa b", "a ab", "aab c", "ab ab")"));
  ASSERT_TRUE(t);
  uint64_t state = 1;
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    size_t length = 41 + static_cast<size_t>(round % 200);
    while (text.size() < length) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      text += "aabbc"[(state >> 33) % 5];
    }
    // The textbook loop: the best pair, leftmost first, again and again.
    static const char* merges[][2] = {{"b", "c"},  {"a", "a"},   {"a", "b"},
                                      {"a", "bc"}, {"ab", "c"},  {"aa", "b"},
                                      {"a", "ab"}, {"aab", "c"}, {"ab", "ab"}};
    std::vector<std::string> parts;
    for (char c : text) parts.emplace_back(1, c);
    for (bool merged = true; merged;) {
      merged = false;
      for (size_t m = 0; m < std::size(merges) && !merged; ++m)
        for (size_t i = 0; i + 1 < parts.size() && !merged; ++i)
          if (parts[i] == merges[m][0] && parts[i + 1] == merges[m][1]) {
            parts[i] += parts[i + 1];
            parts.erase(parts.begin() + static_cast<ptrdiff_t>(i) + 1);
            merged = true;
          }
    }
    Ids want;
    for (const auto& part : parts) want.push_back(*(*t)->id_of(part));
    ASSERT_EQ((*t)->encode(text, false).value(), want) << text;
  }
}

TEST_F(Limits, UnigramTakesTheBestSplit) {
  auto t = load_json(R"({"model": {"type": "Unigram", "unk_id": 0, "vocab":
      [["<unk>", 0], ["a", -1], ["b", -1.5], ["ab", -2], ["abb", -9]]}})");
  ASSERT_TRUE(t);
  EXPECT_EQ((*t)->encode("abb", false).value(), (Ids{3, 2}));
  EXPECT_EQ((*t)->encode("axyb", false).value(), (Ids{1, 0, 2}));
  for (const char* bad : {R"({"model": {"type": "Unigram", "vocab": [["a"]]}})",
                          R"({"model": {"type": "Unigram", "vocab": [["a", "b"]]}})",
                          R"({"model": {"type": "Unigram", "unk_id": 5, "vocab": [["a", 0]]}})",
                          R"({"model": {"type": "Unigram", "vocab": [["a", 0], ["a", 1]]}})"})
    EXPECT_NE(error_of("tokenizer.json", bad), "loaded") << bad;
  auto no_unk = load_json(R"({"model": {"type": "Unigram", "vocab": [["a", 0]]}})");
  ASSERT_TRUE(no_unk);
  EXPECT_FALSE((*no_unk)->encode("b", false));
}

TEST_F(Limits, PreTokenizersSplitWords) {
  struct Case {
    const char* pre;
    const char* text;
    const char* words;  // joined with |
  };
  for (
      const auto& [pre, text, words] : std::vector<Case>{
          {R"({"type": "Digits"})", "a12b", "a|12|b"},
          {R"({"type": "Digits", "individual_digits": true})", "a12b", "a|1|2|b"},
          {R"({"type": "Punctuation"})", "a,b!!", "a|,|b|!|!"},
          {R"({"type": "Whitespace"})", "a_1 b--!  c", "a_1|b|--!|c"},
          {R"({"type": "Metaspace"})", "a b",
           "\xE2\x96\x81"
           "a|\xE2\x96\x81"
           "b"},
          {R"({"type": "Metaspace", "prepend_scheme": "never", "split": false})", "a b",
           "a\xE2\x96\x81"
           "b"},
          {R"({"type": "Split", "pattern": {"String": "-"}, "behavior": "Removed"})", "a-b--c",
           "a|b|c"},
          {R"({"type": "Split", "pattern": {"String": "-"}, "behavior": "Isolated"})", "a-b--c",
           "a|-|b|-|-|c"},
          {R"({"type": "Split", "pattern": {"String": "-"}, "behavior": "MergedWithPrevious"})",
           "a-b--c", "a-|b-|-|c"},
          {R"({"type": "Split", "pattern": {"String": "-"}, "behavior": "MergedWithNext"})",
           "a-b--c", "a|-b|-|-c"},
          {R"({"type": "Split", "pattern": {"String": "-"}, "behavior": "Contiguous"})", "a-b--c",
           "a|-|b|--|c"},
          {R"({"type": "Split", "pattern": {"Regex": "[ab]+"}, "behavior": "Removed", "invert": true})",
           "a-b--c", "a|b"},
          {R"({"type": "Sequence", "pretokenizers": [{"type": "Whitespace"}, {"type": "Digits"}]})",
           "a1 b", "a|1|b"},
      }) {
    // Every word is unknown as a whole, so it shows as one <unk>; the joined words as one token
    // each.
    std::string vocab = R"("<unk>": 0)";
    std::vector<std::string> want;
    for (std::string_view rest = words; !rest.empty();) {
      size_t bar = std::min(rest.find('|'), rest.size());
      want.emplace_back(rest.substr(0, bar));
      rest.remove_prefix(std::min(bar + 1, rest.size()));
    }
    for (size_t i = 0; i < want.size(); ++i)
      if (vocab.find("\"" + want[i] + "\"") == vocab.npos)
        vocab += fmt::format(", \"{}\": {}", want[i], i + 1);
    auto t = load_json(R"({"model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": true,
        "ignore_merges": true, "vocab": {)" +
                       vocab + R"(}, "merges": []}, "pre_tokenizer": )" + pre + "}");
    ASSERT_TRUE(t) << t.error().message;
    std::vector<std::string> got;
    for (int32_t id : (*t)->encode(text, false).value()) got.push_back((*t)->piece(id));
    EXPECT_EQ(got, want) << pre;
  }
}

TEST_F(Limits, AddedTokensAreCutOut) {
  auto t =
      load_json(bpe_json(R"("a": 0, "b": 1, " ": 2)", "", R"("normalizer": {"type": "Lowercase"},
      "added_tokens": [{"id": 3, "content": "<x>", "special": true},
                       {"id": 4, "content": "<xy>", "lstrip": true, "rstrip": true},
                       {"id": 5, "content": "Ab", "single_word": true, "normalized": true},
                       {"id": 3, "content": "<x>", "special": true}])"));
  ASSERT_TRUE(t) << t.error().message;
  EXPECT_EQ((*t)->vocab_size(), 6);
  EXPECT_EQ((*t)->encode("a<x>B", false).value(), (Ids{0, 3, 1}));
  EXPECT_EQ((*t)->encode("a <xy>  b", false).value(), (Ids{0, 4, 1}));
  EXPECT_EQ((*t)->encode("AB aba", false).value(), (Ids{5, 2, 0, 1, 0}));
  EXPECT_EQ((*t)->decode(Ids{0, 3, 1}, true).value(), "a b");  // no decoder: words
  EXPECT_EQ((*t)->decode(Ids{0, 3, 1}, false).value(), "a <x> b");
}

TEST_F(Limits, MissingFiles) {
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
TEST(ByteLevel, SplitsLikeTheRegularExpression) {
  auto regex = Regex::compile(kGpt2Pattern, "test");
  ASSERT_TRUE(regex);
  auto compare = [&](const std::string& text) {
    std::vector<Match> by_hand, by_regex;
    split_gpt2(text, {0, text.size()}, by_hand);
    ASSERT_TRUE(regex->for_each(text, [&](Match m) { by_regex.push_back(m); }));
    ASSERT_EQ(by_hand.size(), by_regex.size()) << text;
    for (size_t i = 0; i < by_hand.size(); ++i) {
      ASSERT_EQ(by_hand[i].begin, by_regex[i].begin) << text;
      ASSERT_EQ(by_hand[i].end, by_regex[i].end) << text;
    }
  };
  // utf8proc knows a later Unicode than PCRE2: what PCRE2 takes for unassigned is left out.
  auto unassigned = Regex::compile("^\\p{Cn}", "test");
  ASSERT_TRUE(unassigned);
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text;
    append_char(text, c);
    bool skip = false;
    ASSERT_TRUE(unassigned->for_each(text, [&](Match) { skip = true; }));
    if (skip) continue;
    text.insert(0, "a1");
    text += "b  ";
    append_char(text, c);
    compare(text);
  }
  const char* parts[] = {"'s",       "'", "'ll", "'r",           "e",        " ", "\n", "x",
                         "\xC3\xA9", "7", "!",   "\xE3\x80\x80", "\xC2\x85", "\t"};
  uint64_t state = 1;
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    for (int k = 0; k < 12; ++k) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      text += parts[(state >> 33) % std::size(parts)];
    }
    compare(text);
  }
}

TEST(Utf8, LossyReplacesMaximalPrefixes) {
  EXPECT_EQ(lossy_utf8("a\xE4\xB8z"), "a\xEF\xBF\xBDz");
  EXPECT_EQ(lossy_utf8("\xE4\xB8"), "\xEF\xBF\xBD");
  EXPECT_EQ(lossy_utf8("\x80\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(lossy_utf8("\xED\xA0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(lossy_utf8("\xF0\x9F\x98\x80"), "\xF0\x9F\x98\x80");
}

TEST(Normalizer, UnicodeForms) {
  auto form = [](UnicodeForm f, std::string text) {
    normalize_unicode(f, text);
    return text;
  };
  EXPECT_EQ(form(UnicodeForm::kNfc, "xe\xCC\x81y"), "x\xC3\xA9y");
  EXPECT_EQ(form(UnicodeForm::kNfd, "x\xC3\xA9y"), "xe\xCC\x81y");
  EXPECT_EQ(form(UnicodeForm::kNfkc, "\xEF\xAC\x81 \xC2\xBD"),
            "fi 1\xE2\x81\x84"
            "2");
  EXPECT_EQ(form(UnicodeForm::kNfd, "a\xCC\x81\xCC\xA3"), "a\xCC\xA3\xCC\x81");    // marks in order
  EXPECT_EQ(form(UnicodeForm::kNfc, "\xE1\x84\x80\xE1\x85\xA1"), "\xEA\xB0\x80");  // Hangul
}

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

// Processor time, so that a busy machine counts less.
double thread_seconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

double best_time(const Tokenizer& t, const std::string& text) {
  double best = 1e9;
  for (int i = 0; i < 3; ++i) {
    double begin = thread_seconds();
    EXPECT_TRUE(t.encode(text, false));
    best = std::min(best, thread_seconds() - begin);
  }
  return best;
}

TEST(Tokenizer, TimeGrowsWithLength) {
  std::string folder = NIBBLE_SOURCE_DIR "/../shared/data/tokenizers/";
  if (!path_exists(folder)) GTEST_SKIP() << "no folder " << folder;
  for (const char* file : {"llama2.tokenizer.json", "gptneox_20B_tokenizer.json", "llama2.model"}) {
    auto t = load_tokenizer(folder + file);
    ASSERT_TRUE(t);
    auto ratio = [&](const std::string& small, const std::string& large) {
      return best_time(**t, large) / best_time(**t, small);
    };
    constexpr size_t kSmall = 100'000, kLarge = 1'000'000;
    // 12 is the aim on a quiet machine; quadratic time would give 100.
    constexpr double kMost = 20;
    for (const char* unit : {"a", " ", "\n", "ab", "\xCC\x81"})
      EXPECT_LT(ratio(repeated(unit, kSmall), repeated(unit, kLarge)), kMost)
          << file << " " << unit;
    EXPECT_LT(ratio(random_ascii(kSmall), random_ascii(kLarge)), kMost) << file;
  }
}

}  // namespace
}  // namespace nibble
