// The step of tokenizer.json that turns spelled tokens back into text.
#pragma once

#include "text/kinds.h"

namespace nibble {

// Kinds: the table at the end of decoders.cc.
class PieceDecoder {
 public:
  virtual ~PieceDecoder() = default;
  // Rewrites the list of tokens; their concatenation after the last step is the text.
  virtual Status apply(std::vector<std::string>& tokens) const = 0;
};

Result<std::vector<std::unique_ptr<PieceDecoder>>> make_decoders(const Json& j,
                                                                 const std::string& what);

}  // namespace nibble
