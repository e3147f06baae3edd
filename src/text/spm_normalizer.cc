// Reference: google/sentencepiece, src/normalizer.cc.
#include "text/spm_normalizer.h"

#include "text/utf8.h"

namespace nibble {

SpmNormalizer::Prefix SpmNormalizer::next(std::string_view text) const {
  if (auto found = user_defined.longest_prefix(text); found.length > 0)
    return {text.substr(0, found.length), found.length};
  if (auto rule = rules.longest(text)) {
    // A damaged table could end a rule inside a character.
    size_t end = rule->length;
    if (end == text.size() || (static_cast<unsigned char>(text[end]) & 0xC0) != 0x80)
      return {rule->becomes, end};
  }
  size_t n = char_length(static_cast<unsigned char>(text[0]));
  return {text.substr(0, n), n};
}

Result<std::string> SpmNormalizer::normalize(std::string_view text) const {
  std::string out;
  const std::string_view space = escape_whitespaces ? kMetaspace : " ";
  while (remove_extra_whitespaces && !text.empty()) {
    Prefix p = next(text);
    if (p.becomes != " ") break;
    text.remove_prefix(p.length);
  }
  if (text.empty()) return out;
  out.reserve(text.size() + text.size() / 2 + 8);
  if (add_dummy_prefix && !whitespace_as_suffix) out += space;
  bool after_space = remove_extra_whitespaces;
  while (!text.empty()) {
    Prefix p = next(text);
    text.remove_prefix(p.length);
    while (after_space && p.becomes.starts_with(' ')) p.becomes.remove_prefix(1);
    if (p.becomes.empty()) continue;
    for (char c : p.becomes) c == ' ' ? out += space : out += c;
    after_space = remove_extra_whitespaces && p.becomes.ends_with(' ');
  }
  while (remove_extra_whitespaces && out.ends_with(space)) out.resize(out.size() - space.size());
  if (add_dummy_prefix && whitespace_as_suffix) out += space;
  if (auto at = rules.empty() ? std::nullopt : invalid_utf8(out))
    return fail("the tokenizer's precompiled_charsmap makes text that is not UTF-8");
  return out;
}

}  // namespace nibble
