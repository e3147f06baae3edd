// Values made from one thing for different keys, each once.
#pragma once

#include <cstddef>
#include <deque>
#include <utility>

namespace nibble {

// Values stay where they are until forget(); their memory is offered again after it, so that one
// who makes the same values over and over allocates only the first time.
template <class Key, class Value>
class Memo {
 public:
  // make(value) fills a value that may still hold what was forgotten.
  template <class Make>
  Value& get(const Key& key, const Make& make) {
    for (size_t i = 0; i < known_; ++i)
      if (entries_[i].first == key) return entries_[i].second;
    if (known_ == entries_.size()) entries_.emplace_back();
    auto& [at, value] = entries_[known_];
    make(value);
    at = key;
    ++known_;
    return value;
  }
  void forget() { known_ = 0; }

 private:
  std::deque<std::pair<Key, Value>> entries_;
  size_t known_ = 0;
};

}  // namespace nibble
