#include "text/word_cache.h"

#include <xxhash.h>

#include <cstring>

namespace nibble {

std::optional<std::span<const int32_t>> WordCache::find(std::string_view word) {
  if (slots_.empty()) slots_.resize(kFirstSlots);
  hash_ = XXH3_64bits(word.data(), word.size());
  size_t mask = slots_.size() - 1;
  for (at_ = hash_ & mask;; at_ = (at_ + 1) & mask) {
    const Slot& s = slots_[at_];
    if (s.key_length == 0) return std::nullopt;
    if (s.hash == hash_ && s.key_length == word.size() &&
        std::memcmp(keys_.data() + s.key, word.data(), word.size()) == 0)
      return std::span<const int32_t>(values_).subspan(s.value, s.ids);
  }
}

void WordCache::put(std::string_view word, std::span<const int32_t> ids) {
  if ((used_ + 1) * 2 > kMaxSlots) return;
  slots_[at_] = {hash_, static_cast<uint32_t>(keys_.size()), static_cast<uint32_t>(values_.size()),
                 static_cast<uint16_t>(word.size()), static_cast<uint16_t>(ids.size())};
  keys_.insert(keys_.end(), word.begin(), word.end());
  values_.insert(values_.end(), ids.begin(), ids.end());
  if (++used_ * 2 > slots_.size()) grow();
}

void WordCache::grow() {
  std::vector<Slot> old(slots_.size() * 2);
  old.swap(slots_);
  size_t mask = slots_.size() - 1;
  for (const Slot& s : old) {
    if (s.key_length == 0) continue;
    size_t i = s.hash & mask;
    while (slots_[i].key_length != 0) i = (i + 1) & mask;
    slots_[i] = s;
  }
}

}  // namespace nibble
