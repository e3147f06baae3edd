// Reference: huggingface/tokenizers, tokenizers/src/tokenizer/added_vocabulary.rs.
#include "text/added_tokens.h"

#include "text/utf8.h"

namespace nibble {
namespace {

size_t previous_char(std::string_view text, size_t end) {
  do --end;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80);
  return end;
}

}  // namespace

Status TokenMatcher::add(const AddedToken& token, std::string_view spelling,
                         const std::string& what) {
  if (spelling.empty() || spelling.size() > ByteTrie::kLongest)
    return fail("{}: added token {} has {} bytes; 1 to {} are possible", what, token.id,
                spelling.size(), ByteTrie::kLongest);
  trie_.add(spelling, static_cast<int32_t>(tokens_.size()));
  tokens_.push_back(token);
  return {};
}

std::optional<TokenMatcher::Found> TokenMatcher::find(std::string_view text, size_t from) const {
  for (size_t i = from; i < text.size(); ++i) {
    auto prefix = trie_.longest_prefix(text.substr(i));
    if (prefix.length > 0)
      return Found{i, i + prefix.length, &tokens_[static_cast<size_t>(prefix.value)]};
  }
  return std::nullopt;
}

bool TokenMatcher::adjust(std::string_view text, size_t done, Found& found) const {
  if (found.token->single_word) {
    if (found.begin > 0 && is_word_char(char_at(text.data() + previous_char(text, found.begin))))
      return false;
    if (found.end < text.size() && is_word_char(char_at(text.data() + found.end))) return false;
  }
  if (found.token->lstrip) {
    for (size_t i; found.begin > done; found.begin = i) {
      i = previous_char(text, found.begin);
      if (!is_space(char_at(text.data() + i))) break;
    }
  }
  if (found.token->rstrip) {
    while (found.end < text.size() && is_space(char_at(text.data() + found.end)))
      found.end += char_length(static_cast<unsigned char>(text[found.end]));
  }
  return true;
}

std::vector<TokenMatcher::Section> TokenMatcher::split(std::string_view text) const {
  std::vector<Section> sections;
  size_t done = 0, from = 0;
  while (!tokens_.empty()) {
    auto found = find(text, from);
    if (!found) break;
    from = found->end;
    if (!adjust(text, done, *found)) continue;
    if (done < found->begin) sections.push_back({done, found->begin, std::nullopt});
    sections.push_back({found->begin, found->end, found->token->id});
    done = from = found->end;
  }
  if (done < text.size()) sections.push_back({done, text.size(), std::nullopt});
  return sections;
}

}  // namespace nibble
