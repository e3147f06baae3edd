// Reference: google/sentencepiece, src/normalizer.cc. The trie is a Darts-clone double array
// (github.com/s-yata/darts-clone, BSD-2).
#include "text/spm_normalizer.h"

#include <cstring>

#include "text/utf8.h"

namespace nibble {
namespace {

// A unit of a Darts-clone double array.
struct Unit {
  uint32_t bits;
  bool has_leaf() const { return bits >> 8 & 1; }
  uint32_t value() const { return bits & 0x7FFFFFFF; }
  uint32_t label() const { return bits & 0x800000FF; }
  uint32_t offset() const { return bits >> 10 << ((bits & 0x200) >> 6); }
};

}  // namespace

Status SpmNormalizer::set_charsmap(std::string_view blob, const std::string& what) {
  if (blob.empty()) return {};
  uint32_t size = 0;
  if (blob.size() > sizeof size) std::memcpy(&size, blob.data(), sizeof size);
  if (size == 0 || size % 4 != 0 || size >= blob.size() - sizeof size)
    return fail("{}: precompiled_charsmap of {} bytes is damaged", what, blob.size());
  trie_.resize(size / 4);
  std::memcpy(trie_.data(), blob.data() + sizeof size, size);
  replacements_ = blob.substr(sizeof size + size);
  return {};
}

// The longest rule that the text begins with; length 0 where none does.
SpmNormalizer::Prefix SpmNormalizer::longest_rule(std::string_view text) const {
  Prefix best{{}, 0};
  if (trie_.empty()) return best;
  uint32_t node = Unit{trie_[0]}.offset();
  for (size_t i = 0; i < text.size(); ++i) {
    auto b = static_cast<unsigned char>(text[i]);
    node ^= b;
    if (node >= trie_.size()) break;
    Unit unit{trie_[node]};
    if (unit.label() != b) break;
    node ^= unit.offset();
    if (!unit.has_leaf()) continue;
    if (node >= trie_.size()) break;
    uint32_t at = Unit{trie_[node]}.value();
    if (at < replacements_.size()) best = {replacements_.c_str() + at, i + 1};
  }
  return best;
}

SpmNormalizer::Prefix SpmNormalizer::next(std::string_view text) const {
  if (auto found = user_defined.longest_prefix(text); found.length > 0)
    return {text.substr(0, found.length), found.length};
  if (Prefix rule = longest_rule(text); rule.length > 0) {
    // A damaged table could end a rule inside a character.
    size_t end = rule.length;
    if (end == text.size() || (static_cast<unsigned char>(text[end]) & 0xC0) != 0x80) return rule;
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
  if (auto at = trie_.empty() ? std::nullopt : invalid_utf8(out))
    return fail("the tokenizer's precompiled_charsmap makes text that is not UTF-8");
  return out;
}

}  // namespace nibble
