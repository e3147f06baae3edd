// A tokenizer described by tokenizer.json (Hugging Face tokenizers).
#pragma once

#include <memory>

#include "base/json.h"
#include "text/tokenizer.h"
#include "text/vocab_json.h"

namespace nibble {

// `path` is the file. The begin and end tokens are those of its post-processor.
Result<std::unique_ptr<Tokenizer>> load_hf_tokenizer(const std::string& path);
// The same of such a document without its vocabulary, and that. Errors name `what`.
Result<std::unique_ptr<Tokenizer>> make_hf_tokenizer(const Json& json, const VocabEntries& entries,
                                                     const std::string& what);

// The same of a document in memory, the vocabulary of a BPE apart. Errors name `what`.
Result<std::unique_ptr<Tokenizer>> make_hf_tokenizer(const Json& json, const VocabEntries& entries,
                                                     const std::string& what);

}  // namespace nibble
