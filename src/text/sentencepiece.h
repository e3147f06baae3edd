// A tokenizer described by a SentencePiece model (Kudo and Richardson 2018, arXiv:1808.06226).
#pragma once

#include <memory>
#include <optional>

#include "text/tokenizer.h"

namespace nibble {

struct SpmOptions {
  // Whether encode() puts begin and end around a text; where not said, begin for BPE models
  // (Llama and its kin), end never.
  std::optional<bool> add_bos, add_eos;
};

// `path` is the file (tokenizer.model). Begin and end are those that it names.
Result<std::unique_ptr<Tokenizer>> load_sentencepiece(const std::string& path,
                                                      const SpmOptions& options);

}  // namespace nibble
