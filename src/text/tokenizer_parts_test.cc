// The parts of tokenizers by themselves, on cases small enough to work out by hand.
#include "text/byte_level.h"
#include "text/normalizers.h"
#include "text/tokenizer_test_files.h"
#include "text/utf8.h"

namespace nibble {
namespace {

using TokenizerParts = TokenizerFiles;

TEST_F(TokenizerParts, LongAndShortWordsMergeAlike) {
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

TEST_F(TokenizerParts, UnigramTakesTheBestSplit) {
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

TEST_F(TokenizerParts, PreTokenizersSplitWords) {
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

TEST_F(TokenizerParts, AddedTokensAreCutOut) {
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

}  // namespace
}  // namespace nibble
