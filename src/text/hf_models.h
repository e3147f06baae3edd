// The "model" of tokenizer.json.
#pragma once

#include <memory>

#include "base/json.h"
#include "text/token_model.h"
#include "text/vocab_json.h"

namespace nibble {

// Kinds: the table in hf_models.cc. `vocab` is what cut_vocab took out of the document; raw_bytes
// says that the pre-tokenizer leaves words as raw bytes (byte_level.h).
Result<std::unique_ptr<TokenModel>> make_model(const Json& model, const VocabEntries& vocab,
                                               bool raw_bytes, const std::string& what);
// Whether a model of this kind can read raw bytes.
bool reads_raw_bytes(const Json& model);

}  // namespace nibble
