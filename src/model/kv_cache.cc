#include "model/kv_cache.h"

#include <algorithm>
#include <new>

#include "base/checked.h"

namespace nibble {
namespace {

int64_t whole_panels(int64_t n) { return ceil_div(n, kKeyPanel) * kKeyPanel; }

}  // namespace

KvCache::KvCache(int64_t layers, int64_t kv_heads, int64_t head_dim, int64_t capacity, KvType type)
    : layers_(static_cast<size_t>(layers)),
      kv_heads_(kv_heads),
      head_dim_(head_dim),
      value_stride_(whole_panels(head_dim)),
      capacity_(capacity),
      padded_(whole_panels(std::max<int64_t>(capacity, 1))),
      type_(type) {}

// Keys, values and, for int8, the scales of both, for all positions.
int64_t KvCache::head_bytes() const {
  int64_t scales = type_ == KvType::kInt8 ? 2 * 4 : 0;
  return padded_ * ((head_dim_ + value_stride_) * kv_type_size(type_) + scales);
}

int64_t KvCache::bytes(int64_t layers, int64_t kv_heads, int64_t head_dim, int64_t capacity,
                       KvType type) {
  return layers * kv_heads * KvCache(0, kv_heads, head_dim, capacity, type).head_bytes();
}

// calloc's pages are zero and not resident until written.
void KvCache::allocate(int64_t layer) {
  auto& memory = layers_[static_cast<size_t>(layer)];
  if (memory) return;
  memory.reset(static_cast<std::byte*>(
      std::calloc(static_cast<size_t>(kv_heads_), static_cast<size_t>(head_bytes()))));
  if (!memory) throw std::bad_alloc();
}

HeadCache KvCache::head(int64_t layer, int64_t head) const {
  std::byte* at = layers_[static_cast<size_t>(layer)].get() + head * head_bytes();
  HeadCache c;
  c.type = type_;
  c.head_dim = head_dim_;
  c.value_stride = value_stride_;
  c.keys = at;
  c.values = at + padded_ * head_dim_ * kv_type_size(type_);
  if (type_ == KvType::kInt8) {
    std::byte* scales = at + padded_ * (head_dim_ + value_stride_);
    c.key_scales = reinterpret_cast<float*>(scales);
    c.value_scales = c.key_scales + padded_;
  }
  return c;
}

Attended attended(int64_t position, int64_t count, int64_t window) {
  int64_t all = position + count;
  if (window <= 0) window = all;
  int64_t growing = std::clamp<int64_t>(window - position, 0, count);  // tokens that see all before
  return {std::min(all, window + count - 1),
          growing * position + growing * (growing + 1) / 2 + (count - growing) * window};
}

}  // namespace nibble
