// A folder's tokenizer as GGUF's metadata.
// Source: ggml-org/llama.cpp, conversion/base.py (_set_vocab_*, get_vocab_base) and
// src/llama-vocab.cpp.
#pragma once

#include "formats/gguf_writer.h"
#include "model/config.h"

namespace nibble {

// Adds tokenizer.ggml.* and tokenizer.chat_template: byte-level BPE of tokenizer.json as "gpt2",
// SentencePiece BPE of tokenizer.model as "llama"; without a tokenizer file "none", for token ids
// alone. Refuses kinds that llama.cpp does not have and pre-tokenizers that it does not know by any
// name, which would give other tokens without a word. What it does otherwise goes to `notes`.
Status describe_gguf_tokenizer(const std::string& folder, const DecoderConfig& c, GgufMetadata& out,
                               std::vector<std::string>& notes);

}  // namespace nibble
