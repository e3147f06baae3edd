// SentencePiece's precompiled_charsmap: texts and what normalization makes of them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace nibble {

class Charsmap {
 public:
  struct Rule {
    size_t length;  // of what is replaced, in bytes
    std::string_view becomes;
  };

  // The bytes of a model file; empty ones hold no rule. An error names `what`.
  Status read(std::string_view blob, const std::string& what);
  bool empty() const { return trie_.empty(); }
  // The shortest and the longest rule that the text begins with.
  std::optional<Rule> shortest(std::string_view text) const { return find(text, false); }
  std::optional<Rule> longest(std::string_view text) const { return find(text, true); }

 private:
  std::optional<Rule> find(std::string_view text, bool longest) const;

  std::vector<uint32_t> trie_;  // a double array
  std::string replacements_;    // each ends with a NUL
};

}  // namespace nibble
