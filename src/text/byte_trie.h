// A set of byte strings with values, asked which of them a text begins with.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "text/flat_map.h"

namespace nibble {

class ByteTrie {
 public:
  // The search walks as deep as the longest string at every byte of a text: callers with strings
  // from a file refuse longer ones.
  static constexpr size_t kLongest = 1024;

  // Sets the value (>= 0) of a string that is not empty.
  void add(std::string_view s, int32_t value) {
    uint32_t node = 0;
    for (unsigned char b : s) {
      uint64_t edge = uint64_t{node} << 8 | b;
      if (const uint32_t* next = edges_.find(edge)) {
        node = *next;
      } else {
        node = static_cast<uint32_t>(values_.size());
        edges_.insert(edge, node);
        values_.push_back(-1);
      }
    }
    values_[node] = value;
    starts_[static_cast<unsigned char>(s[0])] = true;
  }

  // Calls found(length, value) for each string that the text begins with, shortest first.
  template <class F>
  void for_each_prefix(std::string_view text, F&& found) const {
    if (text.empty() || !starts_[static_cast<unsigned char>(text[0])]) return;
    uint32_t node = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      const uint32_t* next = edges_.find(uint64_t{node} << 8 | static_cast<unsigned char>(text[i]));
      if (!next) return;
      node = *next;
      if (values_[node] >= 0) found(i + 1, values_[node]);
    }
  }

  struct Prefix {
    size_t length = 0;  // 0: none
    int32_t value = -1;
  };
  Prefix longest_prefix(std::string_view text) const {
    Prefix best;
    for_each_prefix(text, [&](size_t length, int32_t value) { best = {length, value}; });
    return best;
  }

 private:
  FlatMap<uint32_t> edges_;          // node << 8 | byte to node; the root is 0
  std::vector<int32_t> values_{-1};  // by node; -1 where no string ends
  bool starts_[256] = {};            // bytes that some string starts with
};

}  // namespace nibble
