#include "export/onnx/layers.h"

#include <limits>

#include "export/onnx/weight_bytes.h"

namespace nibble {
namespace {

using Ints = std::vector<int64_t>;
using Axis = OnnxAttribute;

// x / rms(x), in the operators that runtimes fuse.
OnnxValue by_rms(OnnxGraph& g, double eps, const OnnxValue& x) {
  OnnxValue square = g.node("Pow", {x, g.real(2)});
  OnnxValue mean = g.node("ReduceMean", {square, g.integers({-1})}, {{"keepdims", int64_t{1}}});
  return g.node("Div", {x, g.node("Sqrt", {g.node("Add", {mean, g.real(eps)})})});
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

OnnxValue onnx_cast(OnnxGraph& g, const OnnxValue& x, OnnxType type) {
  return g.node("Cast", {x}, {{"to", static_cast<int64_t>(type)}});
}

OnnxValue onnx_unsqueeze(OnnxGraph& g, const OnnxValue& x, std::initializer_list<int64_t> axes) {
  return g.node("Unsqueeze", {x, g.integers(axes)});
}

OnnxValue onnx_in_window(OnnxGraph& g, const OnnxValue& seen, const OnnxValue& queries,
                         const OnnxValue& keys, int64_t window) {
  if (window <= 0) return seen;
  OnnxValue before = g.node("Sub", {queries, g.integer(window)});
  return g.node("And", {seen, g.node("Greater", {keys, before})});
}

OnnxValue onnx_score_mask(OnnxGraph& g, const OnnxValue& seen) {
  return g.node("Where", {seen, g.real(0), g.real(std::numeric_limits<float>::lowest())});
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
    out = g.node("Concat", {onnx_unsqueeze(g, first, {4}), onnx_unsqueeze(g, second, {4})}, {last});
    out = g.node("Reshape", {out, g.integers({0, 0, 0, spec.dims})});
  } else {
    out = g.node("Concat", {first, second}, {last});
  }
  return rest.empty() ? out : g.node("Concat", {out, rest}, {last});
}

}  // namespace nibble
