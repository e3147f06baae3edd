// The step of tokenizer.json that splits normalized text into the words that the model sees.
#pragma once

#include "text/kinds.h"

namespace nibble {

// A text and the words found in it so far: ranges that do not overlap, in order, none empty.
struct PreTokens {
  std::string text;
  std::vector<Match> words;
  bool at_start = false;  // the first word begins where the whole input begins
};

// Kinds: the table at the end of pre_tokenizers.cc.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  virtual Status apply(PreTokens& tokens) const = 0;
  // Asks a ByteLevel at the end of the chain to leave the bytes as they are, for a model that reads
  // them so; true where it will.
  virtual bool keep_raw_bytes() { return false; }
};

Result<std::vector<std::unique_ptr<PreTokenizer>>> make_pre_tokenizers(const Json& j,
                                                                       const std::string& what);

}  // namespace nibble
