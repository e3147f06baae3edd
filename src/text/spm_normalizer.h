// SentencePiece's text normalization: a table of replacements, then the handling of spaces.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/byte_trie.h"

namespace nibble {

class SpmNormalizer {
 public:
  bool add_dummy_prefix = true;          // a space before the text (after it, with suffix spaces)
  bool remove_extra_whitespaces = true;  // none at the ends, never two in a row
  bool escape_whitespaces = true;        // spaces become U+2581
  bool whitespace_as_suffix = false;
  ByteTrie user_defined;  // pieces that are left as they are

  // The precompiled_charsmap of a model: a double-array trie and the texts that it points to.
  Status set_charsmap(std::string_view blob, const std::string& what);
  // Errors where a replacement of the table is not UTF-8.
  Result<std::string> normalize(std::string_view text) const;

 private:
  struct Prefix {
    std::string_view becomes;
    size_t length;
  };
  Prefix next(std::string_view text) const;
  Prefix longest_rule(std::string_view text) const;

  std::vector<uint32_t> trie_;
  std::string replacements_;  // each ends with a NUL
};

}  // namespace nibble
