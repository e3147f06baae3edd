// Every tokenizer against what the reference libraries made of the same texts (shared/data).
#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/json.h"

namespace nibble {
namespace {

const std::string kShared = NIBBLE_SOURCE_DIR "/../shared";
const std::string kData = kShared + "/data/tokenizers/";

#define SKIP_WITHOUT_SHARED() \
  if (!path_exists(kShared)) GTEST_SKIP() << "no folder " << kShared

std::unique_ptr<Tokenizer> load(const std::string& path) {
  auto t = load_tokenizer(path);
  EXPECT_TRUE(t) << (t ? "" : t.error().message);
  return t ? std::move(*t) : nullptr;
}

std::vector<int32_t> encode(const Tokenizer& t, std::string_view text, bool special) {
  auto ids = t.encode(text, special);
  EXPECT_TRUE(ids) << (ids ? "" : ids.error().message);
  return ids ? *ids : std::vector<int32_t>{};
}

std::string stream(const Tokenizer& t, const std::vector<int32_t>& ids) {
  StreamDecoder decoder(t);
  std::string all;
  for (int32_t id : ids) {
    auto text = decoder.push(id);
    EXPECT_TRUE(text);
    if (text) all += *text;
  }
  return all + decoder.finish().value_or("failed");
}

struct Golden {
  const char* file;
  const char* ids;
  bool add_special;
  bool skip_special;  // how `decoded` was made of these ids
  bool decodes;
};
// `decoded` is made of the ids with special tokens. Hugging Face skips special tokens there by
// their spelling, which for llama2.tokenizer.json (normalized: true) it gets wrong: "<s>" stays.
constexpr Golden kGolden[] = {
    {"llama2.tokenizer.json", "llama2.tokenizer.json", true, false, true},
    {"llama2.tokenizer.json", "llama2.tokenizer.json no special", false, false, false},
    {"gptneox_20B_tokenizer.json", "gptneox_20B_tokenizer.json", true, true, true},
    {"gptneox_20B_tokenizer.json", "gptneox_20B_tokenizer.json no special", false, true, false},
    {"llama2.model", "llama2.model", false, true, true},
    {"spm512.model", "spm512.model", false, true, true},
};

class GoldenIds : public testing::TestWithParam<Golden> {};

TEST_P(GoldenIds, EncodesAndDecodes) {
  SKIP_WITHOUT_SHARED();
  const Golden& g = GetParam();
  auto golden = read_json(kData + "golden_ids.json");
  ASSERT_TRUE(golden) << golden.error().message;
  auto t = load(kData + g.file);
  ASSERT_TRUE(t);
  const Json& texts = (*golden)["texts"];
  ASSERT_EQ(texts.size(), 243u);
  for (size_t i = 0; i < texts.size(); ++i) {
    auto text = texts[i].get<std::string>();
    auto want = (*golden)["ids"][g.ids][i].get<std::vector<int32_t>>();
    EXPECT_EQ(encode(*t, text, g.add_special), want) << i << ": " << text;
    if (g.decodes) {
      EXPECT_EQ(t->decode(want, g.skip_special).value_or("failed"),
                (*golden)["decoded"][g.file][i].get<std::string>());
    }
    EXPECT_EQ(stream(*t, want), t->decode(want, true).value_or("failed")) << i << ": " << text;
  }
}
INSTANTIATE_TEST_SUITE_P(All, GoldenIds, testing::ValuesIn(kGolden));

TEST(Tokenizer, TalesModel) {
  SKIP_WITHOUT_SHARED();
  auto t = load(kShared + "/models/tales-3.7m");
  ASSERT_TRUE(t);
  std::vector<int32_t> plain = {427, 437, 259, 395};
  EXPECT_EQ(encode(*t, "Once upon a time", false), plain);
  plain.insert(plain.begin(), 0);
  EXPECT_EQ(encode(*t, "Once upon a time", true), plain);
  EXPECT_EQ(t->bos, 0);
  EXPECT_EQ(t->eos, 0);
  EXPECT_EQ(t->vocab_size(), 2048);
  EXPECT_EQ(t->piece(427), "Once");
  EXPECT_EQ(t->id_of("Once"), 427);
}

TEST(Tokenizer, StoriesModel) {
  SKIP_WITHOUT_SHARED();
  auto t = load(kShared + "/models/stories260K");
  ASSERT_TRUE(t);
  auto ids = encode(*t, "Once upon a time", true);
  ASSERT_FALSE(ids.empty());
  EXPECT_EQ(ids[0], 1);
  EXPECT_EQ(t->bos, 1);
  EXPECT_EQ(t->eos, 2);
  EXPECT_TRUE(t->is_special(1));
  EXPECT_EQ(t->decode(ids, true).value_or(""), "Once upon a time");
  EXPECT_EQ(t->decode(ids, false).value_or(""), "<s>Once upon a time");
}

// Ids that no text gives: halves of characters, runs of bytes, special tokens anywhere.
TEST(StreamDecoder, EqualsDecodeOfRandomIds) {
  SKIP_WITHOUT_SHARED();
  for (const char* file :
       {"llama2.tokenizer.json", "gptneox_20B_tokenizer.json", "llama2.model", "spm512.model"}) {
    auto t = load(kData + file);
    ASSERT_TRUE(t);
    uint64_t state = 1;
    auto random = [&](int64_t n) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      return static_cast<int32_t>(static_cast<int64_t>(state >> 33) % n);
    };
    for (int round = 0; round < 300; ++round) {
      std::vector<int32_t> ids;
      // The low ids are the bytes and the special tokens.
      int64_t range = round % 3 == 0 ? t->vocab_size() : round % 3 == 1 ? 262 : 300;
      for (int i = random(60); i >= 0; --i) ids.push_back(random(range));
      EXPECT_EQ(stream(*t, ids), t->decode(ids, true).value_or("failed")) << file << " " << round;
    }
  }
}

TEST(StreamDecoder, NeverHalfACharacter) {
  SKIP_WITHOUT_SHARED();
  auto t = load(kData + "gptneox_20B_tokenizer.json");
  ASSERT_TRUE(t);
  StreamDecoder decoder(*t);
  std::string all;
  for (int32_t id : encode(*t, "日本語 👩‍👩‍👧‍👦 ok", false)) {
    auto text = decoder.push(id);
    ASSERT_TRUE(text);
    EXPECT_EQ(text->find("\xEF\xBF\xBD"), std::string::npos);
    all += *text;
  }
  EXPECT_EQ(all, "日本語 👩‍👩‍👧‍👦 ok");
}

}  // namespace
}  // namespace nibble
