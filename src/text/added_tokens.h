// Tokens that are cut out of a text before anything else looks at it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/byte_trie.h"

namespace nibble {

struct AddedToken {
  int32_t id = 0;
  std::string content;  // what it is in a text
  bool single_word = false, lstrip = false, rstrip = false, normalized = true, special = false;
};

// Finds a set of strings in texts, leftmost first, longest first at one place.
class TokenMatcher {
 public:
  // `spelling` is what to look for: the content, or its normalized form. An empty one, or one that
  // would make searching slow, is an error that names `what`.
  Status add(const AddedToken& token, std::string_view spelling, const std::string& what);
  bool empty() const { return tokens_.empty(); }

  // A stretch of the text: with an id one of the tokens, else plain text (never empty).
  struct Section {
    size_t begin, end;
    std::optional<int32_t> id;
  };
  std::vector<Section> split(std::string_view text) const;

 private:
  struct Found {
    size_t begin, end;
    const AddedToken* token;
  };
  std::optional<Found> find(std::string_view text, size_t from) const;
  // Applies single_word, lstrip and rstrip; false where the match does not count.
  bool adjust(std::string_view text, size_t done, Found& found) const;

  std::vector<AddedToken> tokens_;
  ByteTrie trie_;  // to indices of tokens_
};

}  // namespace nibble
