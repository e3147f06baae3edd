// The tokenizer of a GGUF file's metadata, as the documents of a Hugging Face folder.
// Source: ggml-org/llama.cpp, src/llama-vocab.cpp and conversion/base.py; huggingface/transformers,
// convert_slow_tokenizer.py (SentencePiece BPE as merges).
#pragma once

#include <utility>

#include "base/json.h"
#include "formats/gguf_model.h"
#include "text/vocab_json.h"

namespace nibble {

// Whether the file has a tokenizer at all.
bool has_gguf_tokenizer(const GgufModel& model);

// tokenizer.json, its "vocab" apart.
struct TokenizerDocument {
  Json json;
  VocabEntries vocab;
};
// Models: llama (SentencePiece BPE) and gpt2 (byte-level BPE), with every pre-tokenizer of
// gguf_pre_tokenizers.inc; others are refused by name.
Result<TokenizerDocument> gguf_tokenizer(const GgufModel& model);

// tokenizer_config.json: the special tokens, add_bos_token, add_eos_token, chat templates.
Result<Json> gguf_tokenizer_config(const GgufModel& model);

// The ids that end a text or a turn: those that the metadata name, and the tokens that are known
// to end a turn by their text, as llama.cpp takes them.
std::vector<int64_t> gguf_end_ids(const GgufModel& model);

// Both documents as files, by name; nothing without a tokenizer.
Result<std::vector<std::pair<std::string, std::string>>> gguf_side_files(const GgufModel& model);

}  // namespace nibble
