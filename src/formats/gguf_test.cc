#include "formats/gguf.h"

#include <cstring>

#include "base/json.h"
#include "base/test_util.h"

namespace nibble {
namespace {

std::vector<std::byte> from_hex(const std::string& hex) {
  std::vector<std::byte> out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    out.push_back(static_cast<std::byte>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return out;
}

// tools/make_ggml_vectors.py wrote what the gguf package makes of random blocks.
TEST(GgmlBlocks, FloatsAreThoseOfTheGgufPackage) {
  auto vectors = read_json(NIBBLE_SOURCE_DIR "/tests/ggml_blocks.json");
  ASSERT_TRUE(succeeds(vectors));
  int seen = 0;
  for (const GgmlType& type : ggml_types()) {
    if (!vectors->contains(type.name)) continue;
    ++seen;
    const Json& one = (*vectors)[std::string(type.name)];
    std::vector<std::byte> blocks = from_hex(one["blocks"]), expected = from_hex(one["floats"]);
    ASSERT_EQ(static_cast<int64_t>(blocks.size()), 2 * type.bytes) << type.name;
    std::vector<float> floats(static_cast<size_t>(2 * type.block));
    ASSERT_EQ(floats.size() * 4, expected.size()) << type.name;
    type.to_float(blocks.data(), 2, floats.data());
    EXPECT_EQ(std::memcmp(floats.data(), expected.data(), expected.size()), 0) << type.name;
  }
  EXPECT_EQ(seen, 12);
}

// A file put together by hand.
struct Maker {
  std::string bytes;
  template <class T>
  Maker& put(T value) {
    bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Maker& text(const std::string& t) {
    put<uint64_t>(t.size());
    bytes += t;
    return *this;
  }
  Maker& head(uint64_t tensors, uint64_t keys, uint32_t version = 3) {
    bytes += "GGUF";
    return put(version).put(tensors).put(keys);
  }
  Maker& tensor(const std::string& name, std::vector<int64_t> dims, uint32_t type,
                uint64_t offset) {
    text(name).put(static_cast<uint32_t>(dims.size()));
    for (int64_t d : dims) put(d);
    return put(type).put(offset);
  }
  Maker& data(size_t size) {
    bytes.resize((bytes.size() + 31) / 32 * 32);
    bytes.append(size, '\1');
    return *this;
  }
};

class GgufTest : public testing::Test {
 protected:
  Result<GgufFile> open(const Maker& maker) {
    EXPECT_TRUE(succeeds(write_file(dir_ / "m.gguf", maker.bytes)));
    return open_gguf(dir_ / "m.gguf");
  }
  TempFolder dir_;
};

Maker good() {
  Maker m;
  m.head(2, 5);
  m.text("general.architecture").put<uint32_t>(8).text("llama");
  m.text("n").put<uint32_t>(4).put<uint32_t>(7);
  m.text("x").put<uint32_t>(6).put<float>(0.5f);
  m.text("b").put<uint32_t>(7).put<uint8_t>(1);
  m.text("list").put<uint32_t>(9).put<uint32_t>(8).put<uint64_t>(2).text("a").text("bc");
  m.tensor("w", {32, 3}, 2, 0).tensor("v", {2}, 0, 64);
  m.data(64).data(8);
  return m;
}

TEST_F(GgufTest, ReadsMetadataAndTensors) {
  auto file = open(good());
  ASSERT_TRUE(succeeds(file));
  EXPECT_EQ(*file->find<std::string_view>("general.architecture"), "llama");
  EXPECT_EQ(*file->find<int64_t>("n"), 7);
  EXPECT_EQ(*file->find<double>("x"), 0.5);
  EXPECT_TRUE(*file->find<bool>("b"));
  EXPECT_EQ(file->find<int64_t>("x"), nullptr);
  const auto* list = file->find<GgufArray>("list");
  ASSERT_NE(list, nullptr);
  EXPECT_EQ(std::get<std::vector<std::string_view>>(*list),
            (std::vector<std::string_view>{"a", "bc"}));
  ASSERT_EQ(file->tensors.size(), 2u);
  EXPECT_EQ(file->tensors[0].shape, (std::vector<int64_t>{3, 32}));
  EXPECT_EQ(file->tensors[0].bytes.size(), 54u);
  EXPECT_EQ(file->tensors[0].elements(), 96);
  std::vector<float> floats(96);
  gguf_to_float(file->tensors[0], floats.data());
  // Each byte is 0x01: a block's first half has the code 1, its second half 0.
  EXPECT_EQ(floats[0], floats[64]);
  EXPECT_EQ(floats[31], floats[95]);
  EXPECT_NE(floats[0], floats[31]);
}

TEST(GgufVocabularies, OpenWhereTheyAreAtHand) {
  std::string folder = NIBBLE_SOURCE_DIR "/../shared/data/tokenizers/vectors";
  if (!is_folder(folder)) GTEST_SKIP() << "needs ../shared";
  auto names = list_files(folder);
  ASSERT_TRUE(succeeds(names));
  for (const std::string& name : *names) {
    if (!name.ends_with(".gguf")) continue;
    auto file = open_gguf(folder + "/" + name);
    ASSERT_TRUE(succeeds(file)) << name;
    const auto* tokens = file->find<GgufArray>("tokenizer.ggml.tokens");
    ASSERT_NE(tokens, nullptr) << name;
    EXPECT_GT(std::get<std::vector<std::string_view>>(*tokens).size(), 30000u) << name;
  }
}

TEST_F(GgufTest, NoPrefixIsAFile) {
  std::string whole = good().bytes;
  for (size_t size = 0; size < whole.size(); size += 3) {
    Maker cut;
    cut.bytes = whole.substr(0, size);
    EXPECT_FALSE(open(cut)) << size;
  }
}

TEST_F(GgufTest, RefusesWhatIsWrong) {
  EXPECT_TRUE(fails_with(open(Maker{"GGML____________________"}), "no GGUF file"));
  EXPECT_TRUE(fails_with(open(Maker().head(0, 0, 1)), "version 1"));
  EXPECT_TRUE(fails_with(open(Maker().head(0, 0, 3u << 24)), "big-endian"));
  EXPECT_TRUE(fails_with(open(Maker().head(uint64_t{1} << 60, 0)), "more than it can hold"));
  EXPECT_TRUE(fails_with(open(Maker().head(0, uint64_t{1} << 60)), "more than it can hold"));
  auto key = [](uint32_t type) {
    Maker m;
    m.head(0, 1).text("k").put(type);
    return m;
  };
  EXPECT_TRUE(fails_with(open(key(13).put<uint64_t>(0)), "unknown type 13"));
  EXPECT_TRUE(fails_with(open(key(8).put<uint64_t>(~uint64_t{0})), "wrong length"));
  EXPECT_TRUE(fails_with(open(key(7).put<uint64_t>(2)), "neither true nor false"));
  EXPECT_TRUE(fails_with(open(key(10).put<uint64_t>(~uint64_t{0})), "is 18446744073709551615"));
  EXPECT_TRUE(fails_with(open(key(9).put<uint32_t>(9).put<uint64_t>(1)), "array of arrays"));
  EXPECT_TRUE(fails_with(open(key(9).put<uint32_t>(0).put<uint64_t>(uint64_t{1} << 40)), "items"));
  Maker twice;
  twice.head(0, 2)
      .text("k")
      .put<uint32_t>(0)
      .put<uint8_t>(1)
      .text("k")
      .put<uint32_t>(0)
      .put<uint8_t>(1);
  EXPECT_TRUE(fails_with(open(twice.put<uint64_t>(0)), "\"k\" twice"));
  Maker odd;
  odd.head(0, 1).text("general.alignment").put<uint32_t>(4).put<uint32_t>(24);
  EXPECT_TRUE(fails_with(open(odd), "alignment is 24"));
}

TEST_F(GgufTest, RefusesWrongTensors) {
  auto one = [](std::vector<int64_t> dims, uint32_t type, uint64_t offset) {
    return Maker().head(1, 0).tensor("w", std::move(dims), type, offset).data(64);
  };
  EXPECT_TRUE(succeeds(open(one({16}, 0, 0))));
  EXPECT_TRUE(fails_with(open(one({16}, 0, 32)), "lies at 32, should lie at 0"));
  EXPECT_TRUE(fails_with(open(one({17}, 0, 0)), "beyond the end"));
  EXPECT_TRUE(fails_with(open(one({-1}, 0, 0)), "dimension of -1"));
  EXPECT_TRUE(fails_with(open(one({1, 1, 1, 1, 1}, 0, 0)), "5 dimensions"));
  EXPECT_TRUE(fails_with(open(one({int64_t{1} << 40, int64_t{1} << 40}, 0, 0)), "beyond the end"));
  EXPECT_TRUE(fails_with(open(one({33}, 2, 0)), "no whole blocks of Q4_0"));
  EXPECT_TRUE(fails_with(open(one({256}, 16, 0)), "type 16 IQ2_XXS"));
  Maker two;
  two.head(2, 0).tensor("w", {8}, 0, 0).tensor("w", {8}, 0, 32).data(64);
  EXPECT_TRUE(fails_with(open(two), "\"w\" twice"));
}

}  // namespace
}  // namespace nibble
