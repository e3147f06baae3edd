// What of a decoder's graph depends on how its runtime hands over tokens and keeps the cache.
#pragma once

#include "export/onnx/layers.h"

namespace nibble {

class DecoderFrame {
 public:
  virtual ~DecoderFrame() = default;
  // The step's token ids, (batch, sequence). Asked first: it makes the graph's inputs.
  virtual OnnxValue ids() = 0;
  // Where these tokens stand, (batch, sequence); of families that rotate or learn positions.
  virtual OnnxValue places() = 0;
  virtual OnnxRotation rotation(const RopeSpec& spec) = 0;
  // Added to scores, (batch, kv_heads, shared, sequence, total) or what spreads to that: the mask
  // and ALiBi's bias. window: as LayerConfig's.
  virtual OnnxValue score_bias(int64_t window) = 0;
  // The step's keys or values, (batch, kv_heads, sequence, head_dim), put into the cache `what`
  // ("key", "value") of a layer -> the whole of it, (batch, kv_heads, total, head_dim).
  virtual OnnxValue cached(int64_t layer, const char* what, const OnnxValue& fresh) = 0;
  // Of a graph's output with a row of `width` for each token.
  virtual std::vector<OnnxDim> rows_of(int64_t width) const = 0;
  // Whether every shape is a constant, so that no operation may give as many rows as it finds.
  virtual bool fixed_shapes() const = 0;
};

}  // namespace nibble
