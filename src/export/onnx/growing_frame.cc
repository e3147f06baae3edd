#include "export/onnx/growing_frame.h"

#include <cmath>

#include "export/onnx/decoder_graph.h"
#include "model/alibi.h"
#include "model/rope_frequency.h"
#include "tensor/dtype.h"

namespace nibble {
namespace {

constexpr const char* kBatch = "batch_size";
constexpr const char* kSequence = "sequence_length";
constexpr const char* kPast = "past_sequence_length";
constexpr const char* kTotal = "total_sequence_length";

OnnxValue bf16(OnnxGraph& g, const OnnxValue& x) {
  return onnx_cast(g, onnx_cast(g, x, OnnxType::kBfloat16), OnnxType::kFloat);
}

// The size of one axis, int64 (1).
OnnxValue size_of(OnnxGraph& g, const OnnxValue& x, int64_t axis) {
  return g.node("Shape", {x}, {{"start", axis}, {"end", axis + 1}});
}

// Radians a position of each pair, (dims / 2).
OnnxValue frequencies(OnnxGraph& g, const RopeSpec& spec, bool beyond) {
  std::vector<float> out;
  for (int64_t i = 0; i < spec.dims / 2; ++i)
    out.push_back(rope_frequency(spec, spec.theta, i, beyond));
  return g.reals(out, {spec.dims / 2});
}

}  // namespace

OnnxValue GrowingFrame::ids() {
  OnnxValue ids = g_.input("input_ids", OnnxType::kInt64, {kBatch, kSequence});
  mask_ = g_.input("attention_mask", OnnxType::kInt64, {kBatch, kTotal});
  if (onnx_takes_positions(c_))
    places_ = g_.input("position_ids", OnnxType::kInt64, {kBatch, kSequence});
  total_ = size_of(g_, mask_, 1);
  OnnxValue fresh = size_of(g_, ids, 1), none = g_.integer(0), one = g_.integer(1);
  auto scalar = [&](const OnnxValue& v) { return g_.node("Squeeze", {v, g_.integers({0})}); };
  OnnxValue end = scalar(total_);
  keys_ = g_.node("Range", {none, end, one});
  OnnxValue first = scalar(g_.node("Sub", {total_, fresh}));
  queries_ = onnx_unsqueeze(g_, g_.node("Range", {first, end, one}), {1});
  causal_ = g_.node("LessOrEqual", {keys_, queries_});
  valid_ = onnx_unsqueeze(g_, onnx_cast(g_, mask_, OnnxType::kBool), {1});
  return ids;
}

// kDynamic: of the base that grows with the sequence (model/rope_frequency.h).
OnnxValue GrowingFrame::dynamic_frequencies(const RopeSpec& spec) {
  auto dims = static_cast<double>(spec.dims);
  auto first = static_cast<double>(spec.original_context);
  OnnxValue length = g_.node("Max", {onnx_cast(g_, total_, OnnxType::kFloat), g_.real(first)});
  OnnxValue share = g_.node("Mul", {length, g_.real(spec.factor / first)});
  OnnxValue grown = g_.node("Sub", {share, g_.real(spec.factor - 1)});
  OnnxValue theta =
      g_.node("Mul", {g_.node("Pow", {grown, g_.real(dims / (dims - 2))}), g_.real(spec.theta)});
  std::vector<float> exponents;
  for (int64_t i = 0; i < spec.dims / 2; ++i)
    exponents.push_back(static_cast<float>(2 * i) / static_cast<float>(spec.dims));
  return g_.node("Div",
                 {g_.real(1), g_.node("Pow", {theta, g_.reals(exponents, {spec.dims / 2})})});
}

OnnxRotation GrowingFrame::rotation(const RopeSpec& spec) {
  OnnxValue turns;
  switch (spec.kind) {
    case RopeSpec::Kind::kDynamic:
      turns = dynamic_frequencies(spec);
      break;
    case RopeSpec::Kind::kLongrope: {
      OnnxValue longer = g_.node("Greater", {total_, g_.integer(spec.original_context)});
      turns = g_.node("Where", {longer, frequencies(g_, spec, true), frequencies(g_, spec, false)});
      break;
    }
    default:
      turns = frequencies(g_, spec, true);
  }
  OnnxValue places = onnx_unsqueeze(g_, onnx_cast(g_, places_, OnnxType::kFloat), {2, 3});
  OnnxValue angle = g_.node("Mul", {places, turns});
  OnnxRotation out{g_.node("Cos", {angle}), g_.node("Sin", {angle})};
  if (spec.attention_factor != 1) {
    out.cos = g_.node("Mul", {out.cos, g_.real(spec.attention_factor)});
    out.sin = g_.node("Mul", {out.sin, g_.real(spec.attention_factor)});
  }
  return out;
}

OnnxValue GrowingFrame::alibi() {
  bool falcon = c_.alibi == Alibi::kFalcon;
  std::vector<float> slopes;
  for (int64_t h = 0; h < c_.heads; ++h) slopes.push_back(alibi_slope(c_, h));
  if (falcon)
    for (float& s : slopes) s = bf16_to_float(float_to_bf16(s));
  // Padding is no token.
  OnnxValue counted = g_.node("CumSum", {onnx_cast(g_, mask_, OnnxType::kFloat), g_.integer(1)});
  OnnxValue place = onnx_unsqueeze(g_, g_.node("Sub", {counted, g_.real(1)}), {1, 2, 3});
  if (falcon) place = bf16(g_, place);
  OnnxValue bias =
      g_.node("Mul", {place, g_.reals(slopes, {c_.kv_heads, c_.heads / c_.kv_heads, 1, 1})});
  if (!falcon) return bias;
  double factor = c_.alibi_factor / std::sqrt(static_cast<double>(c_.head_dim));
  return g_.node("Mul", {bf16(g_, bias), g_.real(factor)});
}

OnnxValue GrowingFrame::score_bias(int64_t window) {
  OnnxValue seen = onnx_in_window(g_, causal_, queries_, keys_, window);
  seen = g_.node("And", {seen, valid_});
  OnnxValue bias = onnx_unsqueeze(g_, onnx_score_mask(g_, seen), {1, 2});
  if (c_.alibi == Alibi::kNone) return bias;
  if (alibi_.empty()) alibi_ = alibi();
  return g_.node("Add", {bias, alibi_});
}

OnnxValue GrowingFrame::cached(int64_t layer, const char* what, const OnnxValue& fresh) {
  std::vector<OnnxDim> dims = {kBatch, c_.kv_heads, kPast, c_.head_dim};
  OnnxValue past =
      g_.input(fmt::format("past_key_values.{}.{}", layer, what), OnnxType::kFloat, dims);
  dims[2] = kTotal;
  return g_.output(fmt::format("present.{}.{}", layer, what), OnnxType::kFloat, dims, "Concat",
                   {past, fresh}, {{"axis", int64_t{2}}});
}

std::vector<OnnxDim> GrowingFrame::rows_of(int64_t width) const {
  return {kBatch, kSequence, width};
}

}  // namespace nibble
