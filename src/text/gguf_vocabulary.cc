#include "text/gguf_vocabulary.h"

#include <algorithm>
#include <array>

#include "text/byte_trie.h"
#include "text/utf8.h"

namespace nibble {

Result<GgufVocabulary> GgufVocabulary::read(const GgufModel& model) {
  GgufVocabulary m(model);
  m.kind = m.text("model");
  const auto* tokens = m.list<std::vector<std::string_view>>("tokens");
  if (!tokens || tokens->empty())
    return fail("{}: has no list tokenizer.ggml.tokens", model.path());
  m.tokens = *tokens;
  for (size_t i = 0; i < m.tokens.size(); ++i)
    if (invalid_utf8(m.tokens[i]) || m.tokens[i].size() > ByteTrie::kLongest)
      return fail("{}: token {} is not UTF-8, or beyond {} bytes", model.path(), i,
                  ByteTrie::kLongest);
  if (const auto* types = m.list<std::vector<int64_t>>("token_type")) {
    if (types->size() != m.tokens.size())
      return fail("{}: {} tokens have {} types", model.path(), m.tokens.size(), types->size());
    for (int64_t type : *types)
      if (type < 0 || type > 6) return fail("{}: token type {} is unknown", model.path(), type);
    m.types = *types;
  }
  return m;
}

bool GgufVocabulary::llama3() const {
  std::string pre = text("pre");
  constexpr std::array kNames = {"llama-bpe", "llama3", "llama-v3", "falcon3", "tekken"};
  return std::find(kNames.begin(), kNames.end(), pre) != kNames.end();
}

bool GgufVocabulary::adds_bos() const {
  return flag("add_bos_token").value_or(sentencepiece() || llama3()) && id("bos");
}

}  // namespace nibble
