// Tokens at given places of a cache of fixed size, in the way of LiteRT's language models.
#pragma once

#include <map>

#include "export/onnx/frame.h"

namespace nibble {

// How many tokens a step takes and how many the cache holds.
struct FixedShape {
  int64_t sequence = 1, context = 0;
};

// Inputs: tokens int32 (1, sequence), input_pos int32 (sequence): consecutive places in the cache,
// kv_cache_k_L and kv_cache_v_L float32 (1, kv_heads, context, head_dim). Outputs: logits float32
// (1, sequence, vocab) and the caches with this step's rows. A token sees the places up to its own,
// so what lies beyond the last token, of padding or of an earlier text, is never read. Rotations
// that depend on a sequence's length are those of a full context.
class FixedFrame : public DecoderFrame {
 public:
  // config and graph are kept.
  FixedFrame(const DecoderConfig& config, FixedShape shape, OnnxGraph& graph)
      : c_(config), shape_(shape), g_(graph) {}
  OnnxValue ids() override;
  OnnxValue places() override;
  OnnxRotation rotation(const RopeSpec& spec) override;
  OnnxValue score_bias(int64_t window) override;
  OnnxValue cached(int64_t layer, const char* what, const OnnxValue& fresh) override;
  std::vector<OnnxDim> rows_of(int64_t width) const override;
  bool fixed_shapes() const override { return true; }

 private:
  const DecoderConfig& c_;
  FixedShape shape_;
  OnnxGraph& g_;
  OnnxValue places_;   // int32 (sequence)
  OnnxValue queries_;  // int32 (sequence, 1)
  OnnxValue keys_;     // int32 (context)
  OnnxValue start_;    // int32 (4): where this step's rows go
};

}  // namespace nibble
