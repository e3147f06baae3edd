#include "export/onnx/graph.h"

#include <cstring>

#include "base/checked.h"
#include "base/json.h"
#include "base/protobuf.h"
#include "export/onnx/fields.h"

namespace nibble {

using namespace onnx_fields;

namespace {

constexpr const char* kMicrosoft = "com.microsoft";

bool is_microsoft(const std::string& op) { return op == "MatMulNBits"; }

ProtoWriter attribute_proto(const OnnxAttribute& a) {
  enum Kind : int64_t { kFloatKind = 1, kIntKind = 2, kStringKind = 3, kIntsKind = 7 };
  ProtoWriter p;
  p.text(kAttributeName, a.name);
  if (const auto* f = std::get_if<float>(&a.value)) {
    p.real(kF, *f);
    p.integer(kAttributeType, kFloatKind);
  } else if (const auto* i = std::get_if<int64_t>(&a.value)) {
    p.integer(kI, *i);
    p.integer(kAttributeType, kIntKind);
  } else if (const auto* s = std::get_if<std::string>(&a.value)) {
    p.text(kS, *s);
    p.integer(kAttributeType, kStringKind);
  } else {
    for (int64_t v : std::get<std::vector<int64_t>>(a.value)) p.integer(kInts, v);
    p.integer(kAttributeType, kIntsKind);
  }
  return p;
}

ProtoWriter tensor_proto(const std::string& name, OnnxType type, std::span<const int64_t> dims) {
  ProtoWriter p;
  for (int64_t d : dims) p.integer(kDims, d);
  p.integer(kDataType, static_cast<int64_t>(type));
  p.text(kTensorName, name);
  return p;
}

// NodeProto.
ProtoWriter node_proto(const OnnxOperation& node) {
  ProtoWriter p;
  for (const OnnxValue& v : node.inputs) p.text(kNodeInput, v);
  for (const OnnxValue& v : node.outputs) p.text(kNodeOutput, v);
  p.text(kNodeName, node.name);
  p.text(kOpType, node.op);
  for (const OnnxAttribute& a : node.attributes) p.message(kAttribute, attribute_proto(a));
  if (is_microsoft(node.op)) p.text(kDomain, kMicrosoft);
  return p;
}

// ValueInfoProto of a tensor.
ProtoWriter value_proto(const OnnxPort& port) {
  ProtoWriter shape, tensor, kind, value;
  for (const OnnxDim& d : port.dims) {
    ProtoWriter dim;
    if (const auto* size = std::get_if<int64_t>(&d))
      dim.integer(1, *size);
    else
      dim.text(2, std::get<std::string>(d));
    shape.message(1, dim);
  }
  tensor.integer(1, static_cast<int64_t>(port.type));
  tensor.message(2, shape);
  kind.message(1, tensor);
  value.text(1, port.name);
  value.message(2, kind);
  return value;
}

}  // namespace

ByteSink sink_of(AtomicFile& file) {
  return [&file](std::span<const std::byte> piece, std::shared_ptr<const void> owner) {
    return file.write(piece, std::move(owner));
  };
}

int64_t onnx_bytes(OnnxType type, int64_t elements) {
  switch (type) {
    case OnnxType::kUint4:
    case OnnxType::kInt4:
      return ceil_div(elements, 2);
    case OnnxType::kUint8:
    case OnnxType::kInt8:
    case OnnxType::kBool:
      return elements;
    case OnnxType::kFloat16:
    case OnnxType::kBfloat16:
      return 2 * elements;
    case OnnxType::kFloat:
    case OnnxType::kInt32:
      return 4 * elements;
    case OnnxType::kInt64:
      return 8 * elements;
  }
  return 0;
}

std::optional<int64_t> onnx_bytes(OnnxType type, std::span<const int64_t> dims) {
  constexpr int64_t kWidest = sizeof(int64_t);
  std::optional<int64_t> elements = checked_product(dims);
  if (!elements || !checked_mul(*elements, kWidest)) return std::nullopt;
  return onnx_bytes(type, *elements);
}

int64_t OnnxWeight::bytes() const {
  std::optional<int64_t> out = onnx_bytes(type, dims);
  NB_CHECK(out);  // of matrices that Weights has checked
  return *out;
}

OnnxValue OnnxGraph::input(const std::string& name, OnnxType type, std::vector<OnnxDim> dims) {
  inputs_.push_back({name, type, std::move(dims)});
  return name;
}

OnnxValue OnnxGraph::output(const std::string& name, OnnxType type, std::vector<OnnxDim> dims,
                            const std::string& op, std::vector<OnnxValue> inputs,
                            std::vector<OnnxAttribute> attributes) {
  operations_.push_back({name, op, std::move(inputs), {name}, std::move(attributes)});
  outputs_.push_back({name, type, std::move(dims)});
  return name;
}

std::vector<OnnxValue> OnnxGraph::nodes(const std::string& op, std::vector<OnnxValue> inputs,
                                        std::vector<OnnxAttribute> attributes, size_t outputs) {
  std::string name = scope_.empty() ? "/" + op : "/" + scope_ + "/" + op;
  if (int64_t number = numbers_[name]++; number > 0) name += fmt::format("_{}", number);
  std::vector<OnnxValue> out;
  for (size_t i = 0; i < outputs; ++i) out.push_back(fmt::format("{}_output_{}", name, i));
  operations_.push_back({name, op, std::move(inputs), out, std::move(attributes)});
  return out;
}

OnnxValue OnnxGraph::node(const std::string& op, std::vector<OnnxValue> inputs,
                          std::vector<OnnxAttribute> attributes) {
  return nodes(op, std::move(inputs), std::move(attributes), 1)[0];
}

OnnxValue OnnxGraph::constant(OnnxType type, std::span<const int64_t> dims,
                              std::string_view bytes) {
  std::string key = fmt::format("{} {} ", static_cast<int>(type), fmt::join(dims, ","));
  auto [at, fresh] = constant_names_.try_emplace(key.append(bytes));
  if (!fresh) return at->second;
  at->second = fmt::format("constant_{}", constants_.size());
  constants_.push_back({at->second, type, {dims.begin(), dims.end()}, std::string(bytes)});
  return at->second;
}

OnnxValue OnnxGraph::integers(std::span<const int64_t> values) {
  auto count = static_cast<int64_t>(values.size());
  return constant(OnnxType::kInt64, std::span(&count, 1),
                  {reinterpret_cast<const char*>(values.data()), values.size_bytes()});
}

OnnxValue OnnxGraph::integer(int64_t value) {
  return constant(OnnxType::kInt64, {}, {reinterpret_cast<const char*>(&value), sizeof value});
}

OnnxValue OnnxGraph::real(double value) {
  auto single = static_cast<float>(value);
  return reals(std::span(&single, 1), {});
}

OnnxValue OnnxGraph::reals(std::span<const float> values, std::vector<int64_t> dims) {
  return constant(OnnxType::kFloat, dims,
                  {reinterpret_cast<const char*>(values.data()), values.size_bytes()});
}

OnnxValue OnnxGraph::byte(OnnxType type, uint8_t bits) {
  return constant(type, {}, {reinterpret_cast<const char*>(&bits), 1});
}

OnnxValue OnnxGraph::weight(OnnxWeight weight) {
  std::string name = weight.name;
  if (named_.insert(name).second) weights_.push_back(std::move(weight));
  return name;
}

std::string OnnxGraph::model(std::span<const int64_t> offsets, const std::string& data) const {
  ProtoWriter graph;
  graph.text(kName, "decoder");
  for (const OnnxOperation& node : operations_) graph.message(kNode, node_proto(node));
  for (const OnnxConstant& c : constants_) {
    ProtoWriter p = tensor_proto(c.name, c.type, c.dims);
    p.text(kRawData, c.bytes);
    graph.message(kInitializer, p);
  }
  for (size_t i = 0; i < weights_.size(); ++i) {
    const OnnxWeight& w = weights_[i];
    ProtoWriter p = tensor_proto(w.name, w.type, w.dims);
    for (const auto& [key, value] : {std::pair<const char*, std::string>{"location", data},
                                     {"offset", std::to_string(offsets[i])},
                                     {"length", std::to_string(w.bytes())}}) {
      ProtoWriter entry;
      entry.text(kKey, key);
      entry.text(kValue, value);
      p.message(kExternal, entry);
    }
    p.integer(kLocation, 1);  // EXTERNAL
    graph.message(kInitializer, p);
  }
  for (const OnnxPort& port : inputs_) graph.message(kInput, value_proto(port));
  for (const OnnxPort& port : outputs_) graph.message(kOutput, value_proto(port));
  ProtoWriter out;
  out.integer(kIrVersion, kOnnxIrVersion);
  out.text(kProducer, "nibble");
  out.text(kProducerVersion, NIBBLE_VERSION);
  for (const auto& [domain, version] : {std::pair{"", kOnnxOpset}, {kMicrosoft, int64_t{1}}}) {
    ProtoWriter opset;
    opset.text(1, domain);
    opset.integer(2, version);
    out.message(kOpset, opset);
  }
  out.message(kGraph, graph);
  return out.bytes();
}

}  // namespace nibble
