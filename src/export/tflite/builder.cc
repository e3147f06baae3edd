#include "export/tflite/builder.h"

#include <algorithm>

namespace nibble {

using namespace tflite;

namespace {

using Ints = TfliteBuilder::Ints;

std::string narrowed(const Ints& values) {
  std::string out;
  for (int64_t v : values) {
    auto narrow = static_cast<int32_t>(v);
    out.append(reinterpret_cast<const char*>(&narrow), sizeof narrow);
  }
  return out;
}

// The shape over which both spread.
Ints spread(const Ints& a, const Ints& b) {
  Ints out(std::max(a.size(), b.size()), 1);
  for (const Ints& dims : {a, b})
    for (size_t i = 0; i < dims.size(); ++i) {
      int64_t& d = out[out.size() - dims.size() + i];
      d = std::max(d, dims[i]);
    }
  return out;
}

}  // namespace

Result<TfliteType> tflite_type(OnnxType type, const std::string& what) {
  switch (type) {
    case OnnxType::kFloat:
      return TfliteType::kFloat32;
    case OnnxType::kFloat16:
      return TfliteType::kFloat16;
    case OnnxType::kInt32:
    case OnnxType::kInt64:
      return TfliteType::kInt32;
    case OnnxType::kUint8:
      return TfliteType::kUint8;
    case OnnxType::kInt8:
      return TfliteType::kInt8;
    case OnnxType::kInt4:
      return TfliteType::kInt4;
    case OnnxType::kBool:
      return TfliteType::kBool;
    default:
      return fail("{}: no operator of TFLite takes its type", what);
  }
}

TfliteBuilder::TfliteBuilder(const OnnxGraph& graph, TfliteModel& model)
    : graph_(graph), model_(model) {
  for (const OnnxConstant& c : graph.constants()) constants_[c.name] = &c;
  for (const OnnxWeight& w : graph.weights()) weights_[w.name] = &w;
  for (const OnnxOperation& op : graph.operations())
    for (size_t i = 0; i < op.inputs.size(); ++i) {
      bool right = op.op == "MatMul" && i == 1;
      auto [at, fresh] = only_right_.try_emplace(op.inputs[i], right);
      at->second &= right;
    }
}

Result<int32_t> TfliteBuilder::value(const OnnxValue& name) {
  if (name.empty()) return -1;
  if (auto at = values_.find(name); at != values_.end()) return at->second;
  int32_t out;
  if (auto c = constants_.find(name); c != constants_.end()) {
    const OnnxConstant& k = *c->second;
    TfliteType type = NB_TRY(tflite_type(k.type, name));
    std::string bytes = k.type == OnnxType::kInt64 ? narrowed(constant(name)) : k.bytes;
    out = tensor(name, type, k.dims, model_.constant(bytes));
  } else {
    const OnnxWeight& w = weight(name);
    out = tensor(name, NB_TRY(tflite_type(w.type, name)), w.dims, model_.weight(w));
  }
  return values_[name] = out;
}

Result<std::vector<int32_t>> TfliteBuilder::values(std::span<const OnnxValue> names) {
  std::vector<int32_t> out;
  for (const OnnxValue& name : names) out.push_back(NB_TRY(value(name)));
  return out;
}

int32_t TfliteBuilder::tensor(const std::string& name, TfliteType type, Ints dims, size_t buffer) {
  out_.tensors.push_back({name, type, std::move(dims), buffer, {}});
  return static_cast<int32_t>(out_.tensors.size() - 1);
}

int32_t TfliteBuilder::numbers(const std::string& name, std::span<const int32_t> values) {
  std::string bytes(reinterpret_cast<const char*>(values.data()), values.size_bytes());
  return tensor(name, TfliteType::kInt32, {static_cast<int64_t>(values.size())},
                model_.constant(bytes));
}

int32_t TfliteBuilder::integers(const Ints& values) {
  std::vector<int32_t> narrow(values.begin(), values.end());
  return numbers("integers", narrow);
}

int32_t TfliteBuilder::integer(int64_t value) {
  return tensor("integer", TfliteType::kInt32, {}, model_.constant(narrowed({value})));
}

int32_t TfliteBuilder::real(float value) {
  std::string bytes(reinterpret_cast<const char*>(&value), sizeof value);
  return tensor("real", TfliteType::kFloat32, {}, model_.constant(bytes));
}

Ints TfliteBuilder::constant(const OnnxValue& name) const {
  const std::string& bytes = stored(name).bytes;
  Ints out(bytes.size() / sizeof(int64_t));
  std::memcpy(out.data(), bytes.data(), bytes.size());
  return out;
}

bool TfliteBuilder::only_right_of_products(const OnnxValue& name) const {
  auto at = only_right_.find(name);
  return at != only_right_.end() && at->second;
}

int32_t TfliteBuilder::emit(const std::string& name, TfliteOp op, std::vector<int32_t> inputs,
                            TfliteType type, Ints dims, uint8_t options_type, FlatTable options) {
  int32_t out = tensor(name, type, std::move(dims));
  out_.operations.push_back({op, std::move(inputs), {out}, options_type, std::move(options)});
  return out;
}

int32_t TfliteBuilder::elementwise(const std::string& name, TfliteOp op,
                                   std::vector<int32_t> inputs) {
  Ints shape;
  for (int32_t i : inputs) shape = spread(shape, dims(i));
  bool compares = op == TfliteOp::kGreater || op == TfliteOp::kLessEqual;
  TfliteType kind = compares ? TfliteType::kBool : type(inputs.back());
  return emit(name, op, std::move(inputs), kind, shape);
}

int32_t TfliteBuilder::reshape(const std::string& name, int32_t x, const Ints& shape) {
  if (dims(x) == shape) return x;
  int32_t wanted = integers(shape);
  return emit(name, TfliteOp::kReshape, {x, wanted}, type(x), shape);
}

int32_t TfliteBuilder::reduce_last(const std::string& name, TfliteOp op, int32_t x) {
  FlatTable keep;
  keep.scalar(options::kKeepDims, true);
  Ints shape = dims(x);
  int32_t axis = integers({static_cast<int64_t>(shape.size()) - 1});
  shape.back() = 1;
  return emit(name, op, {x, axis}, type(x), shape, options::kReducer, keep);
}

}  // namespace nibble
