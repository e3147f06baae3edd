#include "export/onnx/layers.h"

#include <cmath>
#include <limits>

#include "export/onnx/weight_bytes.h"
#include "model/alibi.h"
#include "model/rope_frequency.h"
#include "tensor/dtype.h"

namespace nibble {
namespace {

using Ints = std::vector<int64_t>;
using Axis = OnnxAttribute;

OnnxValue cast(OnnxGraph& g, const OnnxValue& x, OnnxType type) {
  return g.node("Cast", {x}, {{"to", static_cast<int64_t>(type)}});
}
OnnxValue unsqueeze(OnnxGraph& g, const OnnxValue& x, std::initializer_list<int64_t> axes) {
  return g.node("Unsqueeze", {x, g.integers(axes)});
}
OnnxValue bf16(OnnxGraph& g, const OnnxValue& x) {
  return cast(g, cast(g, x, OnnxType::kBfloat16), OnnxType::kFloat);
}

// The size of one axis, int64 (1).
OnnxValue size_of(OnnxGraph& g, const OnnxValue& x, int64_t axis) {
  return g.node("Shape", {x}, {{"start", axis}, {"end", axis + 1}});
}

// x / rms(x), in the operators that runtimes fuse.
OnnxValue by_rms(OnnxGraph& g, double eps, const OnnxValue& x) {
  OnnxValue square = g.node("Pow", {x, g.real(2)});
  OnnxValue mean = g.node("ReduceMean", {square, g.integers({-1})}, {{"keepdims", int64_t{1}}});
  return g.node("Div", {x, g.node("Sqrt", {g.node("Add", {mean, g.real(eps)})})});
}

// Radians a position of each pair, (dims / 2).
OnnxValue frequencies(OnnxGraph& g, const RopeSpec& spec, bool beyond) {
  std::vector<float> out;
  for (int64_t i = 0; i < spec.dims / 2; ++i)
    out.push_back(rope_frequency(spec, spec.theta, i, beyond));
  return g.reals(out, {spec.dims / 2});
}

// kDynamic: of the base that grows with the sequence (model/rope_frequency.h).
OnnxValue dynamic_frequencies(OnnxGraph& g, const RopeSpec& spec, const OnnxPositions& p) {
  auto dims = static_cast<double>(spec.dims);
  auto first = static_cast<double>(spec.original_context);
  OnnxValue length = g.node("Max", {cast(g, p.total, OnnxType::kFloat), g.real(first)});
  OnnxValue share = g.node("Mul", {length, g.real(spec.factor / first)});
  OnnxValue grown = g.node("Sub", {share, g.real(spec.factor - 1)});
  OnnxValue theta =
      g.node("Mul", {g.node("Pow", {grown, g.real(dims / (dims - 2))}), g.real(spec.theta)});
  std::vector<float> exponents;
  for (int64_t i = 0; i < spec.dims / 2; ++i)
    exponents.push_back(static_cast<float>(2 * i) / static_cast<float>(spec.dims));
  return g.node("Div", {g.real(1), g.node("Pow", {theta, g.reals(exponents, {spec.dims / 2})})});
}

}  // namespace

OnnxValue onnx_norm(OnnxGraph& g, const DecoderConfig& c, const NormSpec& spec, const Norm& norm,
                    const OnnxValue& x) {
  Ints dims = spec.parts > 1 ? Ints{spec.parts, spec.size} : Ints{spec.size};
  OnnxValue weight = g.weight(float_weight(spec.module + ".weight", dims, norm.weight));
  OnnxValue bias;
  if (!norm.bias.empty()) bias = g.weight(float_weight(spec.module + ".bias", dims, norm.bias));
  auto eps = static_cast<float>(c.norm_eps);
  OnnxValue y;
  if (c.norm == NormKind::kLayer && spec.parts == 1) {
    std::vector<OnnxValue> inputs = {x, weight};
    if (!bias.empty()) inputs.push_back(bias);
    return g.node("LayerNormalization", inputs, {{"axis", int64_t{-1}}, {"epsilon", eps}});
  }
  if (c.norm == NormKind::kLayer) {
    std::vector<float> ones(static_cast<size_t>(spec.size), 1.f);
    y = g.node("LayerNormalization", {x, g.reals(ones, {spec.size})},
               {{"axis", int64_t{-1}}, {"epsilon", eps}});
  } else {
    y = by_rms(g, c.norm_eps, x);
  }
  y = g.node("Mul", {y, weight});
  return bias.empty() ? y : g.node("Add", {y, bias});
}

OnnxValue onnx_activation(OnnxGraph& g, Activation f, const OnnxValue& x) {
  switch (f) {
    case Activation::kSilu:
      return g.node("Mul", {x, g.node("Sigmoid", {x})});
    case Activation::kGelu:
      return g.node("Gelu", {x}, {{"approximate", std::string("none")}});
    case Activation::kGeluTanh:
      return g.node("Gelu", {x}, {{"approximate", std::string("tanh")}});
    case Activation::kGeluQuick:
      return g.node("Mul", {x, g.node("Sigmoid", {g.node("Mul", {x, g.real(1.702)})})});
    case Activation::kRelu:
      return g.node("Relu", {x});
    case Activation::kRelu2: {
      OnnxValue y = g.node("Relu", {x});
      return g.node("Mul", {y, y});
    }
  }
  return x;
}

OnnxValue onnx_softcap(OnnxGraph& g, double c, const OnnxValue& x) {
  OnnxValue cap = g.real(c);
  return g.node("Mul", {g.node("Tanh", {g.node("Div", {x, cap})}), cap});
}

OnnxPositions onnx_positions(OnnxGraph& g, const OnnxValue& ids, const OnnxValue& mask) {
  OnnxPositions p;
  p.mask = mask;
  p.total = size_of(g, mask, 1);
  OnnxValue fresh = size_of(g, ids, 1), none = g.integer(0), one = g.integer(1);
  auto scalar = [&](const OnnxValue& v) { return g.node("Squeeze", {v, g.integers({0})}); };
  OnnxValue end = scalar(p.total);
  p.keys = g.node("Range", {none, end, one});
  OnnxValue first = scalar(g.node("Sub", {p.total, fresh}));
  p.queries = unsqueeze(g, g.node("Range", {first, end, one}), {1});
  p.causal = g.node("LessOrEqual", {p.keys, p.queries});
  p.valid = unsqueeze(g, cast(g, mask, OnnxType::kBool), {1});
  return p;
}

OnnxValue onnx_mask(OnnxGraph& g, const OnnxPositions& p, int64_t window) {
  OnnxValue seen = p.causal;
  if (window > 0) {
    OnnxValue before = g.node("Sub", {p.queries, g.integer(window)});
    seen = g.node("And", {seen, g.node("Greater", {p.keys, before})});
  }
  seen = g.node("And", {seen, p.valid});
  OnnxValue bias = g.node("Where", {seen, g.real(0), g.real(std::numeric_limits<float>::lowest())});
  return unsqueeze(g, bias, {1, 2});
}

OnnxValue onnx_alibi(OnnxGraph& g, const DecoderConfig& c, const OnnxPositions& p) {
  bool falcon = c.alibi == Alibi::kFalcon;
  std::vector<float> slopes;
  for (int64_t h = 0; h < c.heads; ++h) slopes.push_back(alibi_slope(c, h));
  if (falcon)
    for (float& s : slopes) s = bf16_to_float(float_to_bf16(s));
  // Padding is no token.
  OnnxValue counted = g.node("CumSum", {cast(g, p.mask, OnnxType::kFloat), g.integer(1)});
  OnnxValue place = unsqueeze(g, g.node("Sub", {counted, g.real(1)}), {1, 2, 3});
  if (falcon) place = bf16(g, place);
  OnnxValue bias =
      g.node("Mul", {place, g.reals(slopes, {c.kv_heads, c.heads / c.kv_heads, 1, 1})});
  if (!falcon) return bias;
  double factor = c.alibi_factor / std::sqrt(static_cast<double>(c.head_dim));
  return g.node("Mul", {bf16(g, bias), g.real(factor)});
}

OnnxRotation onnx_rotation(OnnxGraph& g, const RopeSpec& spec, const OnnxPositions& p,
                           const OnnxValue& position_ids) {
  OnnxValue turns;
  switch (spec.kind) {
    case RopeSpec::Kind::kDynamic:
      turns = dynamic_frequencies(g, spec, p);
      break;
    case RopeSpec::Kind::kLongrope: {
      OnnxValue longer = g.node("Greater", {p.total, g.integer(spec.original_context)});
      turns = g.node("Where", {longer, frequencies(g, spec, true), frequencies(g, spec, false)});
      break;
    }
    default:
      turns = frequencies(g, spec, true);
  }
  OnnxValue places = unsqueeze(g, cast(g, position_ids, OnnxType::kFloat), {2, 3});
  OnnxValue angle = g.node("Mul", {places, turns});
  OnnxRotation out{g.node("Cos", {angle}), g.node("Sin", {angle})};
  if (spec.attention_factor != 1) {
    out.cos = g.node("Mul", {out.cos, g.real(spec.attention_factor)});
    out.sin = g.node("Mul", {out.sin, g.real(spec.attention_factor)});
  }
  return out;
}

OnnxValue onnx_rotate(OnnxGraph& g, const RopeSpec& spec, const OnnxRotation& r, int64_t head_dim,
                      const OnnxValue& x) {
  const Axis last{"axis", int64_t{-1}};
  int64_t half = spec.dims / 2;
  OnnxValue turned = x, rest;
  if (spec.dims < head_dim) {
    auto parts = g.nodes("Split", {x, g.integers({spec.dims, head_dim - spec.dims})}, {last}, 2);
    turned = parts[0];
    rest = parts[1];
  }
  OnnxValue a, b;
  if (spec.interleaved) {
    OnnxValue pairs = g.node("Reshape", {turned, g.integers({0, 0, 0, half, 2})});
    auto parts = g.nodes("Split", {pairs, g.integers({1, 1})}, {last}, 2);
    a = g.node("Squeeze", {parts[0], g.integers({-1})});
    b = g.node("Squeeze", {parts[1], g.integers({-1})});
  } else {
    auto parts = g.nodes("Split", {turned, g.integers({half, half})}, {last}, 2);
    a = parts[0];
    b = parts[1];
  }
  auto mul = [&](const OnnxValue& u, const OnnxValue& v) { return g.node("Mul", {u, v}); };
  OnnxValue first = g.node("Sub", {mul(a, r.cos), mul(b, r.sin)});
  OnnxValue second = g.node("Add", {mul(b, r.cos), mul(a, r.sin)});
  OnnxValue out;
  if (spec.interleaved) {
    out = g.node("Concat", {unsqueeze(g, first, {4}), unsqueeze(g, second, {4})}, {last});
    out = g.node("Reshape", {out, g.integers({0, 0, 0, spec.dims})});
  } else {
    out = g.node("Concat", {first, second}, {last});
  }
  return rest.empty() ? out : g.node("Concat", {out, rest}, {last});
}

}  // namespace nibble
