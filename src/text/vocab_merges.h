// A tokenizer in the files that came before tokenizer.json: vocab.json and merges.txt, and around
// them tokenizer_config.json, special_tokens_map.json and added_tokens.json where they are there.
#pragma once

#include <memory>

#include "text/tokenizer.h"

namespace nibble {

// `path` is vocab.json, the rest lies beside it. Splitting and normalizing go by the
// tokenizer_class of tokenizer_config.json: the table in vocab_merges.cc.
Result<std::unique_ptr<Tokenizer>> load_vocab_merges(const std::string& path);

}  // namespace nibble
