// Every kind of part against what the tokenizers package makes of the same texts
// (tests/tokenizer_parts.json, made by tools/make_tokenizer_vectors.py).
#include "base/json.h"
#include "text/decoders.h"
#include "text/normalizers.h"
#include "text/pre_tokenizers.h"
#include "text/tokenizer_test_files.h"

namespace nibble {
namespace {

using Texts = std::vector<std::string>;

class TokenizerVectors : public TokenizerFiles {
 protected:
  void SetUp() override {
    auto read = read_json(NIBBLE_SOURCE_DIR "/tests/tokenizer_parts.json");
    ASSERT_TRUE(read) << read.error().message;
    vectors_ = std::move(*read);
    texts_ = vectors_["texts"].get<Texts>();
    ASSERT_GT(texts_.size(), 20u);
  }
  // Calls check(part, its outputs) for each vector of one role; each of `all` kinds has one.
  template <class F>
  void for_each_part(const char* role, std::vector<std::string> all, F&& check) {
    for (const Json& v : vectors_[role]) {
      std::erase(all, v["part"]["type"].get<std::string>());
      check(v["part"], v["out"]);
    }
    EXPECT_EQ(all, std::vector<std::string>{}) << role << " without a vector";
  }

  Json vectors_;
  Texts texts_;
};

TEST_F(TokenizerVectors, Normalizers) {
  for_each_part("normalizers",
                {"NFC", "NFD", "NFKC", "NFKD", "Prepend", "Replace", "Lowercase", "Strip",
                 "StripAccents", "Nmt", "BertNormalizer", "ByteLevel", "Precompiled", "Sequence"},
                [&](const Json& part, const Json& out) {
                  auto made = make_normalizers(part, "test");
                  ASSERT_TRUE(made) << made.error().message;
                  for (size_t i = 0; i < texts_.size(); ++i) {
                    std::string text = texts_[i];
                    for (const auto& n : *made) ASSERT_TRUE(n->apply(text));
                    EXPECT_EQ(text, out[i].is_null() ? texts_[i] : out[i].get<std::string>())
                        << part.dump().substr(0, 200) << " of " << texts_[i];
                  }
                });
}

TEST_F(TokenizerVectors, PreTokenizers) {
  for_each_part("pre_tokenizers",
                {"ByteLevel", "Split", "Digits", "Punctuation", "Whitespace", "WhitespaceSplit",
                 "BertPreTokenizer", "CharDelimiterSplit", "FixedLength", "Metaspace", "Sequence"},
                [&](const Json& part, const Json& out) {
                  auto made = make_pre_tokenizers(part, "test");
                  ASSERT_TRUE(made) << made.error().message;
                  for (size_t i = 0; i < texts_.size(); ++i) {
                    PreTokens tokens{texts_[i], {}, true};
                    if (!texts_[i].empty()) tokens.words = {{0, texts_[i].size()}};
                    for (const auto& p : *made) ASSERT_TRUE(p->apply(tokens));
                    Texts words;
                    for (Match w : tokens.words)
                      if (w.begin < w.end)
                        words.push_back(tokens.text.substr(w.begin, w.end - w.begin));
                    EXPECT_EQ(words, out[i].get<Texts>()) << part.dump() << " of " << texts_[i];
                  }
                });
}

TEST_F(TokenizerVectors, Decoders) {
  for_each_part("decoders",
                {"ByteLevel", "Replace", "ByteFallback", "Fuse", "Strip", "Metaspace", "WordPiece",
                 "BPEDecoder", "Sequence"},
                [&](const Json& part, const Json& out) {
                  auto made = make_decoders(part, "test");
                  ASSERT_TRUE(made) << made.error().message;
                  for (size_t i = 0; i < out.size(); ++i) {
                    auto tokens = vectors_["tokens"][i].get<Texts>();
                    std::string text;
                    for (const auto& d : *made) ASSERT_TRUE(d->apply(tokens));
                    for (const std::string& token : tokens) text += token;
                    EXPECT_EQ(text, out[i].get<std::string>())
                        << part.dump() << " of " << vectors_["tokens"][i].dump();
                  }
                });
}

TEST_F(TokenizerVectors, WholeTokenizers) {
  for (const Json& v : vectors_["models"]) {
    auto t = load_json(v["tokenizer"].dump());
    ASSERT_TRUE(t) << v["name"] << t.error().message;
    for (size_t i = 0; i < texts_.size(); ++i) {
      auto what = fmt::format("{}: {}", v["name"].dump(), texts_[i]);
      auto want = v["ids"][i].get<Ids>();
      EXPECT_EQ((*t)->encode(texts_[i], true).value_or(Ids{-1}), want) << what;
      const Json& plain = v["plain"].is_null() ? v["ids"] : v["plain"];
      EXPECT_EQ((*t)->encode(texts_[i], false).value_or(Ids{-1}), plain[i].get<Ids>()) << what;
      EXPECT_EQ((*t)->decode(want, false).value_or("failed"), v["decoded"][i].get<std::string>())
          << what;
      EXPECT_EQ((*t)->decode(want, true).value_or("failed"), v["skipped"][i].get<std::string>())
          << what;
      StreamDecoder stream(**t);
      std::string all;
      for (int32_t id : want) all += stream.push(id).value_or("failed");
      EXPECT_EQ(all + stream.finish().value_or("failed"), v["skipped"][i].get<std::string>())
          << what;
    }
  }
}

// vocab.json and merges.txt, and what lies around them.
TEST_F(TokenizerVectors, FoldersWithoutTokenizerJson) {
  std::string shared = NIBBLE_SOURCE_DIR "/../shared/data/tokenizers/";
  if (!path_exists(shared)) GTEST_SKIP() << "no folder " << shared;
  auto texts = vectors_["folder_texts"].get<Texts>();
  for (const char* name : {"vocab.json", "merges.txt"})
    std::filesystem::create_symlink(shared + "gpt2_" + name, folder_ / name);
  for (const Json& v : vectors_["folders"]) {
    for (const auto& [name, content] : v["files"].items())
      ASSERT_TRUE(write_file((folder_ / name).string(), content.dump()));
    auto t = load_tokenizer(folder_.string());
    ASSERT_TRUE(t) << t.error().message;
    auto id = [](const Json& j) {
      return j.is_null() ? std::nullopt : std::optional(j.get<int32_t>());
    };
    EXPECT_EQ((*t)->bos, id(v["bos"])) << v["files"];
    EXPECT_EQ((*t)->eos, id(v["eos"])) << v["files"];
    for (size_t i = 0; i < texts.size(); ++i) {
      auto want = v["ids"][i].get<Ids>();
      EXPECT_EQ((*t)->encode(texts[i], true).value_or(Ids{-1}), want) << v["files"] << texts[i];
      EXPECT_EQ((*t)->decode(want, true).value_or("failed"), v["decoded"][i].get<std::string>());
    }
    for (const auto& [name, content] : v["files"].items()) std::filesystem::remove(folder_ / name);
  }
}

TEST_F(TokenizerVectors, BadFoldersWithoutTokenizerJson) {
  auto error_with = [&](const char* name, const std::string& content, const char* vocab) {
    EXPECT_TRUE(write_file((folder_ / name).string(), content));
    std::string error = error_of("vocab.json", vocab);
    std::filesystem::remove(folder_ / name);
    return error;
  };
  const char* vocab = R"({"a": 0, "b": 1, "ab": 2})";
  auto expect = [](const std::string& message, const char* part) {
    EXPECT_NE(message.find(part), std::string::npos) << message;
  };
  ASSERT_TRUE(write_file((folder_ / "merges.txt").string(), "#version: 0.2\na b\n"));
  auto t = load_as("vocab.json", vocab);
  ASSERT_TRUE(t) << t.error().message;
  EXPECT_EQ((*t)->encode("ab", false).value(), Ids{2});
  expect(error_with("merges.txt", "a b\r\nb a\r\n", vocab), "merge 1 names \"ba\"");
  ASSERT_TRUE(write_file((folder_ / "merges.txt").string(), ""));
  expect(error_of("vocab.json", R"({"a": "0"})"), "whole numbers");
  for (const auto& [name, content, part] : std::vector<std::array<const char*, 3>>{
           {"tokenizer_config.json", R"({"tokenizer_class": "OddTokenizer"})", "OddTokenizer"},
           {"tokenizer_config.json", "[]", "should hold a JSON object"},
           {"tokenizer_config.json", R"({"added_tokens_decoder": {"x": {}}})", "no id of a token"},
           {"added_tokens.json", R"({"<x>": "1"})", "whole number"},
           {"added_tokens.json", R"({"<x>": 99999999})", "out of range"},
           {"special_tokens_map.json", R"({"bos_token": 7})", "special_tokens_map.json"}}) {
    ASSERT_TRUE(write_file((folder_ / name).string(), content));
    auto bad = load_as("vocab.json", vocab);
    std::filesystem::remove(folder_ / name);
    ASSERT_FALSE(bad) << content;
    expect(bad.error().message, part);
  }
}

}  // namespace
}  // namespace nibble
