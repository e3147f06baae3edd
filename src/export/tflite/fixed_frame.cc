#include "export/tflite/fixed_frame.h"

#include <cmath>
#include <numeric>

#include "export/tflite/lower.h"
#include "model/positions.h"
#include "model/rope_frequency.h"

namespace nibble {

OnnxValue FixedFrame::ids() {
  OnnxValue ids = g_.input("tokens", OnnxType::kInt32, {int64_t{1}, shape_.sequence});
  places_ = g_.input("input_pos", OnnxType::kInt32, {shape_.sequence});
  queries_ = onnx_unsqueeze(g_, places_, {1});
  std::vector<int64_t> keys(static_cast<size_t>(shape_.context));
  std::iota(keys.begin(), keys.end(), 0);
  keys_ = g_.integers(keys);
  OnnxValue first = g_.node("Gather", {places_, g_.integers({0})});
  start_ =
      g_.node("Concat", {g_.integers({0, 0}), first, g_.integers({0})}, {{"axis", int64_t{0}}});
  return ids;
}

OnnxValue FixedFrame::places() { return onnx_unsqueeze(g_, places_, {0}); }

OnnxRotation FixedFrame::rotation(const RopeSpec& spec) {
  int64_t half = spec.dims / 2;
  double theta = rope_theta(spec, shape_.context);
  bool beyond = shape_.context > spec.original_context;
  std::vector<float> cos, sin;
  for (int64_t p = 0; p < shape_.context; ++p)
    for (int64_t i = 0; i < half; ++i) {
      float angle = static_cast<float>(p) * rope_frequency(spec, theta, i, beyond);
      auto factor = static_cast<float>(spec.attention_factor);
      cos.push_back(std::cos(angle) * factor);
      sin.push_back(std::sin(angle) * factor);
    }
  auto picked = [&](std::span<const float> table) {
    OnnxValue rows = g_.node("Gather", {g_.reals(table, {shape_.context, half}), places_});
    return onnx_unsqueeze(g_, rows, {0, 2});
  };
  return {picked(cos), picked(sin)};
}

OnnxValue FixedFrame::score_bias(int64_t window) {
  OnnxValue causal = g_.node("LessOrEqual", {keys_, queries_});
  OnnxValue seen = onnx_in_window(g_, causal, queries_, keys_, window);
  OnnxValue bias = onnx_score_mask(g_, seen);
  if (c_.alibi == Alibi::kNone) return bias;
  Positions positions(c_, shape_.context);
  std::vector<float> alibi;
  for (int64_t h = 0; h < c_.heads; ++h)
    alibi.insert(alibi.end(), positions.bias(h), positions.bias(h) + shape_.context);
  std::vector<int64_t> dims = {c_.kv_heads, c_.heads / c_.kv_heads, 1, shape_.context};
  return g_.node("Add", {bias, g_.reals(alibi, dims)});
}

OnnxValue FixedFrame::cached(int64_t layer, const char* what, const OnnxValue& fresh) {
  std::string name = fmt::format("kv_cache_{}_{}", what[0], layer);
  std::vector<OnnxDim> dims = {int64_t{1}, c_.kv_heads, shape_.context, c_.head_dim};
  OnnxValue past = g_.input(name, OnnxType::kFloat, dims);
  return g_.output(name + kNext, OnnxType::kFloat, dims, kUpdateSliceOp, {past, fresh, start_});
}

std::vector<OnnxDim> FixedFrame::rows_of(int64_t width) const {
  return {int64_t{1}, shape_.sequence, width};
}

}  // namespace nibble
