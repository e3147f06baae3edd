// A hash map from 64-bit keys for tables that are filled once and then only read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace nibble {

// Open addressing with linear probing, at most half full. Keys may be any value but kEmpty.
template <class V>
class FlatMap {
 public:
  static constexpr uint64_t kEmpty = ~uint64_t{0};

  // Sets the value of `key`, replacing an earlier one.
  void insert(uint64_t key, V value) {
    if ((size_ + 1) * 2 > slots_.size()) grow();
    Slot& slot = slots_[find_slot(key)];
    if (slot.key == kEmpty) ++size_;
    slot = {key, value};
  }

  // The value at `key`, or null.
  const V* find(uint64_t key) const {
    if (slots_.empty()) return nullptr;
    const Slot& slot = slots_[find_slot(key)];
    return slot.key == kEmpty ? nullptr : &slot.value;
  }

  size_t size() const { return size_; }

 private:
  struct Slot {
    uint64_t key = kEmpty;
    V value{};
  };

  size_t find_slot(uint64_t key) const {
    // Fibonacci hashing: the high bits of the product depend on every bit of the key.
    size_t mask = slots_.size() - 1;
    size_t i = (key * 0x9E3779B97F4A7C15u) >> shift_;
    while (slots_[i].key != key && slots_[i].key != kEmpty) i = (i + 1) & mask;
    return i;
  }

  void grow() {
    std::vector<Slot> old(slots_.empty() ? 16 : slots_.size() * 2);
    old.swap(slots_);
    shift_ = 64 - __builtin_ctzll(slots_.size());
    for (const Slot& s : old)
      if (s.key != kEmpty) slots_[find_slot(s.key)] = s;
  }

  std::vector<Slot> slots_;
  size_t size_ = 0;
  int shift_ = 0;
};

}  // namespace nibble
