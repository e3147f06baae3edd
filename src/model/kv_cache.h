// Keys and values of one sequence.
#pragma once

#include <cstdint>
#include <vector>

namespace nibble {

// Layer by layer, each (kv_heads, capacity, head_dim) float32, allocated when first touched.
class KvCache {
 public:
  KvCache(int64_t layers, int64_t kv_heads, int64_t head_dim, int64_t capacity)
      : keys_(static_cast<size_t>(layers)),
        values_(static_cast<size_t>(layers)),
        kv_heads_(kv_heads),
        head_dim_(head_dim),
        capacity_(capacity) {}

  int64_t capacity() const { return capacity_; }
  // (capacity, head_dim) of one head.
  float* keys(int64_t layer, int64_t head) {
    return head_of(keys_[static_cast<size_t>(layer)], head);
  }
  float* values(int64_t layer, int64_t head) {
    return head_of(values_[static_cast<size_t>(layer)], head);
  }
  void allocate(int64_t layer) {
    auto size = static_cast<size_t>(kv_heads_ * capacity_ * head_dim_);
    keys_[static_cast<size_t>(layer)].resize(size);
    values_[static_cast<size_t>(layer)].resize(size);
  }
  // Forgets one layer's memory: a streamed job needs only the layer it is at.
  void drop(int64_t layer) {
    std::vector<float>().swap(keys_[static_cast<size_t>(layer)]);
    std::vector<float>().swap(values_[static_cast<size_t>(layer)]);
  }
  static int64_t bytes(int64_t layers, int64_t kv_heads, int64_t head_dim, int64_t capacity) {
    return 2 * 4 * layers * kv_heads * head_dim * capacity;
  }

 private:
  float* head_of(std::vector<float>& v, int64_t head) {
    return v.data() + head * capacity_ * head_dim_;
  }
  std::vector<std::vector<float>> keys_, values_;
  int64_t kv_heads_, head_dim_, capacity_;
};

}  // namespace nibble
