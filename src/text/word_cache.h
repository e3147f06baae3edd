// Remembers how words were split, for the length of one encode() call.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace nibble {

class WordCache {
 public:
  static constexpr size_t kMaxWord = 32;  // bytes; longer words seldom come twice

  // The ids of a word put in earlier, or nothing. Remembers the place for the put() that follows.
  std::optional<std::span<const int32_t>> find(std::string_view word);
  // Stores the ids of the word that find() has just not found, until the cache is full.
  void put(std::string_view word, std::span<const int32_t> ids);

 private:
  struct Slot {
    uint64_t hash = 0;
    uint32_t key = 0, value = 0;       // offsets into keys_ and values_
    uint16_t key_length = 0, ids = 0;  // key_length 0: empty slot
  };
  static constexpr size_t kFirstSlots = 256, kMaxSlots = 1 << 17;
  void grow();

  std::vector<Slot> slots_;
  std::vector<char> keys_;
  std::vector<int32_t> values_;
  uint64_t hash_ = 0;
  size_t at_ = 0, used_ = 0;
};

}  // namespace nibble
