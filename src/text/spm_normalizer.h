// SentencePiece's text normalization: a table of replacements, then the handling of spaces.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "text/byte_trie.h"
#include "text/charsmap.h"

namespace nibble {

class SpmNormalizer {
 public:
  bool add_dummy_prefix = true;          // a space before the text (after it, with suffix spaces)
  bool remove_extra_whitespaces = true;  // none at the ends, never two in a row
  bool escape_whitespaces = true;        // spaces become U+2581
  bool whitespace_as_suffix = false;
  ByteTrie user_defined;  // pieces that are left as they are

  Charsmap rules;
  // Errors where a replacement of the table is not UTF-8.
  Result<std::string> normalize(std::string_view text) const;

 private:
  struct Prefix {
    std::string_view becomes;
    size_t length;
  };
  Prefix next(std::string_view text) const;
};

}  // namespace nibble
