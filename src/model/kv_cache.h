// Keys and values of one sequence.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "kernels/float_ops.h"

namespace nibble {

// Bytes of one number.
constexpr int64_t kv_type_size(KvType type) {
  return type == KvType::kF32 ? 4 : type == KvType::kF16 ? 2 : 1;
}

// Layer by layer; a head's part is laid out as HeadCache says. Memory is allocated when a layer is
// first touched, and becomes resident as positions are written.
class KvCache {
 public:
  KvCache(int64_t layers, int64_t kv_heads, int64_t head_dim, int64_t capacity,
          KvType type = KvType::kF32);

  int64_t capacity() const { return capacity_; }
  KvType type() const { return type_; }
  // Layer `layer` must be allocated.
  HeadCache head(int64_t layer, int64_t head) const;
  void allocate(int64_t layer);
  // Forgets one layer's memory: a streamed job needs only the layer it is at.
  void drop(int64_t layer) { layers_[static_cast<size_t>(layer)].reset(); }
  // Bytes of keys and values of one position of one layer.
  int64_t position_bytes() const { return kv_heads_ * head_bytes() / padded_; }
  static int64_t bytes(int64_t layers, int64_t kv_heads, int64_t head_dim, int64_t capacity,
                       KvType type = KvType::kF32);

 private:
  struct Free {
    void operator()(std::byte* p) const { std::free(p); }
  };
  int64_t head_bytes() const;

  std::vector<std::unique_ptr<std::byte[], Free>> layers_;
  int64_t kv_heads_, head_dim_, value_stride_, capacity_, padded_;
  KvType type_;
};

// `count` consecutive tokens of one sequence, the first at `position`; earlier ones are in its
// cache, whose capacity says how long the sequence may become.
struct Slice {
  KvCache* cache;
  int64_t position, count;
};

// What `count` tokens from `position` on attend to in a layer of this window (0: all before them).
struct Attended {
  int64_t positions;  // that any of them sees
  int64_t pairs;      // of a token and a position that it sees
};
Attended attended(int64_t position, int64_t count, int64_t window);

}  // namespace nibble
