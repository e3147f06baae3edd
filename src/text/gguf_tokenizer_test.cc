// Tokenizers of GGUF files against the ids of the reference libraries: llama.cpp's own test files,
// shared/data/tokenizers/vectors.
#include "text/gguf_tokenizer.h"

#include "text/tokenizer_test_files.h"

namespace nibble {
namespace {

std::vector<std::string> split(const std::string& text, const std::string& mark) {
  std::vector<std::string> out;
  size_t at = 0;
  for (size_t end; (end = text.find(mark, at)) != text.npos; at = end + mark.size())
    out.push_back(text.substr(at, end - at));
  out.push_back(text.substr(at));
  return out;
}

Ids ids_of(const std::string& line) {
  Ids out;
  for (const std::string& word : split(line, " "))
    if (!word.empty()) out.push_back(std::stoi(word));
  return out;
}

class GgufVocabularies : public testing::TestWithParam<const char*> {};

TEST_P(GgufVocabularies, EncodeAsTheReferenceDoes) {
  std::string file = fmt::format("{}/../shared/data/tokenizers/vectors/ggml-vocab-{}.gguf",
                                 NIBBLE_SOURCE_DIR, GetParam());
  if (!path_exists(file)) GTEST_SKIP() << file << " is absent";
  auto tokenizer = load_tokenizer(file);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  auto texts = split(read_file(file + ".inp").value(), "\n__ggml_vocab_test__\n");
  auto lines = split(read_file(file + ".out").value(), "\n");
  ASSERT_GT(texts.size(), 40u);
  ASSERT_GE(lines.size(), texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    auto ids = (*tokenizer)->encode(texts[i], /*add_special=*/false);
    ASSERT_TRUE(ids) << ids.error().message;
    EXPECT_EQ(*ids, ids_of(lines[i])) << "text " << i << ": " << texts[i];
    EXPECT_EQ((*tokenizer)->decode(*ids, false).value(), texts[i]);
  }
}

INSTANTIATE_TEST_SUITE_P(Vectors, GgufVocabularies,
                         testing::Values("deepseek-llm", "falcon", "gpt-2", "llama-bpe",
                                         "llama-spm", "phi-3", "qwen2"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace nibble
