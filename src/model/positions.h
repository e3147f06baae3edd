// What tells the blocks where a token stands: rotations of queries and keys, or ALiBi's biases.
// (Learned positions are the embedding's.)
#pragma once

#include "model/rope.h"

namespace nibble {

class Positions {
 public:
  // Of sequences of at most `capacity` tokens.
  Positions(const DecoderConfig& config, int64_t capacity);
  int64_t capacity() const { return capacity_; }
  // Null where the block's queries and keys are not rotated.
  const Rope* rope(const LayerConfig& layer) const {
    return layer.rope < 0 ? nullptr : &ropes_[static_cast<size_t>(layer.rope)];
  }
  // Added to a query head's scores, (bias_stride()) by the key's position; null without ALiBi.
  const float* bias(int64_t head) const {
    return bias_.empty() ? nullptr : bias_.data() + head * bias_stride_;
  }
  int64_t bias_stride() const { return bias_stride_; }

 private:
  int64_t capacity_, bias_stride_;
  std::vector<Rope> ropes_;
  std::vector<float> bias_;  // (heads, bias_stride)
};

}  // namespace nibble
