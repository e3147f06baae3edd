// Tokens and a cache that grows, in the way of optimum and ONNX Runtime GenAI.
#pragma once

#include "export/onnx/frame.h"

namespace nibble {

class GrowingFrame : public DecoderFrame {
 public:
  // Both are kept.
  GrowingFrame(const DecoderConfig& config, OnnxGraph& graph) : c_(config), g_(graph) {}
  OnnxValue ids() override;
  OnnxValue places() override { return places_; }
  OnnxRotation rotation(const RopeSpec& spec) override;
  OnnxValue score_bias(int64_t window) override;
  OnnxValue cached(int64_t layer, const char* what, const OnnxValue& fresh) override;
  std::vector<OnnxDim> rows_of(int64_t width) const override;
  bool fixed_shapes() const override { return false; }

 private:
  OnnxValue dynamic_frequencies(const RopeSpec& spec);
  OnnxValue alibi();

  const DecoderConfig& c_;
  OnnxGraph& g_;
  OnnxValue places_;
  OnnxValue mask_;            // int64 (batch, total): the model's input
  OnnxValue total_;           // int64 (1): tokens with those of the cache
  OnnxValue causal_;          // bool (sequence, total): keys that are no later than the query
  OnnxValue valid_;           // bool (batch, 1, total): keys that are no padding
  OnnxValue queries_, keys_;  // int64 (sequence, 1) and (total): places in the cache
  OnnxValue alibi_;           // (batch, kv_heads, shared, 1, total); empty until asked for
};

}  // namespace nibble
