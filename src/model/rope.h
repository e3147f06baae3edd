// Rotary position embedding, rotate-half order.
#pragma once

#include <vector>

#include "model/config.h"

namespace nibble {

// Tables of cos and sin for positions [0, capacity). Sources: Su et al. (arXiv 2104.09864); llama3
// scaling as Meta's Llama 3.1 reference and transformers' modeling_rope_utils compute it, in
// float32 like theirs.
class Rope {
 public:
  Rope(const RopeSpec& spec, int64_t head_dim, int64_t capacity);
  // Rotates one head x: (head_dim) in place.
  void rotate(float* x, int64_t position) const;
  // Undoes rotate(): its transpose, which takes a gradient back.
  void rotate_back(float* x, int64_t position) const;
  int64_t capacity() const { return capacity_; }

 private:
  int64_t half_, capacity_;
  std::vector<float> cos_, sin_;  // (capacity, half)
};

}  // namespace nibble
