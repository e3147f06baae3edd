// Reference: google/sentencepiece, src/normalizer.cc. The trie is a Darts-clone double array
// (github.com/s-yata/darts-clone, BSD-2).
#include "text/charsmap.h"

#include <cstring>

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

Status Charsmap::read(std::string_view blob, const std::string& what) {
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

std::optional<Charsmap::Rule> Charsmap::find(std::string_view text, bool longest) const {
  std::optional<Rule> best;
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
    if (at < replacements_.size()) best = {i + 1, replacements_.c_str() + at};
    if (best && !longest) break;
  }
  return best;
}

}  // namespace nibble
