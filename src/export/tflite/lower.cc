#include "export/tflite/lower.h"

#include <algorithm>

#include "base/checked.h"
#include "export/tflite/lower_linear.h"

namespace nibble {
namespace {

using namespace tflite;
using Ints = std::vector<int64_t>;
using Builder = TfliteBuilder;
using Operation = OnnxOperation;

template <class T>
const T& attribute(const Operation& op, std::string_view name) {
  auto at = std::ranges::find(op.attributes, name, &OnnxAttribute::name);
  NB_CHECK(at != op.attributes.end());
  return std::get<T>(at->value);
}

// The axis of an operation in a shape of this rank.
size_t axis_of(const Operation& op, size_t rank) {
  int64_t axis = attribute<int64_t>(op, "axis");
  return static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(rank) : axis);
}

Status identity(Builder& b, const Operation& op) {
  b.set(op.outputs[0], NB_TRY(b.value(op.inputs[0])));
  return {};
}

// 0 keeps a dimension, -1 takes what is left.
Status reshape(Builder& b, const Operation& op) {
  int32_t x = NB_TRY(b.value(op.inputs[0]));
  Ints from = b.dims(x), dims = b.constant(op.inputs[1]);
  int64_t rest = *checked_product(from);
  for (size_t i = 0; i < dims.size(); ++i) {
    if (dims[i] == 0) dims[i] = from[i];
    if (dims[i] > 0) rest /= dims[i];
  }
  std::ranges::replace(dims, -1, rest);
  b.set(op.outputs[0], b.reshape(op.outputs[0], x, dims));
  return {};
}

Status unsqueeze(Builder& b, const Operation& op) {
  int32_t x = NB_TRY(b.value(op.inputs[0]));
  Ints dims = b.dims(x), axes = b.constant(op.inputs[1]);
  auto rank = static_cast<int64_t>(dims.size() + axes.size());
  for (int64_t& a : axes) a = a < 0 ? a + rank : a;
  std::ranges::sort(axes);
  for (int64_t a : axes) dims.insert(dims.begin() + a, 1);
  b.set(op.outputs[0], b.reshape(op.outputs[0], x, dims));
  return {};
}

Status squeeze(Builder& b, const Operation& op) {
  int32_t x = NB_TRY(b.value(op.inputs[0]));
  Ints dims = b.dims(x);
  int64_t axis = b.constant(op.inputs[1])[0];
  dims.erase(axis < 0 ? dims.end() + axis : dims.begin() + axis);
  b.set(op.outputs[0], b.reshape(op.outputs[0], x, dims));
  return {};
}

Status transpose(Builder& b, const Operation& op) {
  int32_t x = NB_TRY(b.value(op.inputs[0]));
  const Ints& order = attribute<Ints>(op, "perm");
  Ints dims, last_two = order;
  for (int64_t i : order) dims.push_back(b.dims(x)[static_cast<size_t>(i)]);
  std::swap(last_two[last_two.size() - 1], last_two[last_two.size() - 2]);
  // Products turn their right side themselves.
  if (std::ranges::is_sorted(last_two) && b.only_right_of_products(op.outputs[0])) {
    b.turned[op.outputs[0]] = x;
    return {};
  }
  int32_t perm = b.integers(order);
  b.set(op.outputs[0], b.emit(op.outputs[0], TfliteOp::kTranspose, {x, perm}, b.type(x), dims));
  return {};
}

Status split(Builder& b, const Operation& op) {
  int32_t x = NB_TRY(b.value(op.inputs[0]));
  Ints dims = b.dims(x), begin(dims.size(), 0), sizes = b.constant(op.inputs[1]);
  size_t axis = axis_of(op, dims.size());
  for (size_t i = 0; i < sizes.size(); ++i) {
    dims[axis] = sizes[i];
    int32_t from = b.integers(begin), size = b.integers(dims);
    b.set(op.outputs[i], b.emit(op.outputs[i], TfliteOp::kSlice, {x, from, size}, b.type(x), dims));
    begin[axis] += sizes[i];
  }
  return {};
}

Status concat(Builder& b, const Operation& op) {
  std::vector<int32_t> parts = NB_TRY(b.values(op.inputs));
  TfliteType type = b.type(parts[0]);
  Ints dims = b.dims(parts[0]);
  size_t axis = axis_of(op, dims.size());
  dims[axis] = 0;
  for (int32_t p : parts) dims[axis] += b.dims(p)[axis];
  FlatTable o;
  o.scalar(options::kAxis, static_cast<int32_t>(axis));
  b.set(op.outputs[0], b.emit(op.outputs[0], TfliteOp::kConcatenation, std::move(parts), type, dims,
                              options::kConcatenation, o));
  return {};
}

Status gather(Builder& b, const Operation& op) {
  std::vector<int32_t> in = NB_TRY(b.values(op.inputs));
  TfliteType type = b.type(in[0]);
  Ints dims = b.dims(in[1]), rows = b.dims(in[0]);
  dims.insert(dims.end(), rows.begin() + 1, rows.end());
  b.set(op.outputs[0],
        b.emit(op.outputs[0], TfliteOp::kGather, std::move(in), type, dims, options::kGather));
  return {};
}

Status cast(Builder& b, const Operation& op) {
  int32_t x = NB_TRY(b.value(op.inputs[0]));
  auto to = static_cast<OnnxType>(attribute<int64_t>(op, "to"));
  TfliteType type = NB_TRY(tflite_type(to, op.name));
  b.set(op.outputs[0], b.emit(op.outputs[0], TfliteOp::kCast, {x}, type, b.dims(x)));
  return {};
}

// Norms raise to the second power alone.
Status square(Builder& b, const Operation& op) {
  int32_t x = NB_TRY(b.value(op.inputs[0]));
  b.set(op.outputs[0], b.elementwise(op.outputs[0], TfliteOp::kMul, {x, x}));
  return {};
}

Status clip(Builder& b, const Operation& op) {
  std::vector<int32_t> in = NB_TRY(b.values(op.inputs));
  int32_t above = b.elementwise(op.name + "/above", TfliteOp::kMaximum, {in[0], in[1]});
  b.set(op.outputs[0], b.elementwise(op.outputs[0], TfliteOp::kMinimum, {above, in[2]}));
  return {};
}

// Of the last dimension, in all that decoders do.
Status reduce(Builder& b, const Operation& op) {
  int32_t x = NB_TRY(b.value(op.inputs[0]));
  TfliteOp how = op.op == "ReduceMean" ? TfliteOp::kMean : TfliteOp::kSum;
  b.set(op.outputs[0], b.reduce_last(op.outputs[0], how, x));
  return {};
}

Status layer_norm(Builder& b, const Operation& op) {
  std::vector<int32_t> in = NB_TRY(b.values(op.inputs));
  const std::string& name = op.outputs[0];
  auto step = [&](const char* part, TfliteOp how, std::vector<int32_t> inputs) {
    return b.elementwise(name + part, how, std::move(inputs));
  };
  int32_t mean = b.reduce_last(name + "/mean", TfliteOp::kMean, in[0]);
  int32_t far = step("/far", TfliteOp::kSub, {in[0], mean});
  int32_t squares = step("/squares", TfliteOp::kMul, {far, far});
  int32_t variance = b.reduce_last(name + "/variance", TfliteOp::kMean, squares);
  int32_t epsilon = b.real(attribute<float>(op, "epsilon"));
  int32_t share =
      step("/share", TfliteOp::kRsqrt, {step("/above_zero", TfliteOp::kAdd, {variance, epsilon})});
  int32_t y = step("/normed", TfliteOp::kMul, {far, share});
  y = step("/weighed", TfliteOp::kMul, {y, in[1]});
  if (in.size() > 2) y = step("", TfliteOp::kAdd, {y, in[2]});
  b.set(name, y);
  return {};
}

Status softmax(Builder& b, const Operation& op) {
  int32_t x = NB_TRY(b.value(op.inputs[0]));
  FlatTable o;
  o.scalar(options::kBeta, 1.f);
  b.set(op.outputs[0],
        b.emit(op.outputs[0], TfliteOp::kSoftmax, {x}, b.type(x), b.dims(x), options::kSoftmax, o));
  return {};
}

Status gelu(Builder& b, const Operation& op) {
  int32_t x = NB_TRY(b.value(op.inputs[0]));
  FlatTable o;
  o.scalar(options::kApproximate, attribute<std::string>(op, "approximate") == "tanh");
  b.set(op.outputs[0],
        b.emit(op.outputs[0], TfliteOp::kGelu, {x}, b.type(x), b.dims(x), options::kGelu, o));
  return {};
}

Status top_k(Builder& b, const Operation& op) {
  int32_t x = NB_TRY(b.value(op.inputs[0]));
  Ints dims = b.dims(x);
  dims.back() = b.constant(op.inputs[1])[0];
  int32_t k = b.integer(dims.back());
  int32_t best = b.emit(op.outputs[0], TfliteOp::kTopkV2, {x, k}, b.type(x), dims);
  int32_t at = b.tensor(op.outputs[1], TfliteType::kInt32, dims);
  b.subgraph().operations.back().outputs.push_back(at);
  b.set(op.outputs[0], best);
  b.set(op.outputs[1], at);
  return {};
}

// Of (..., a, m, k) by (..., 1, k, n): the a matrices are one of a * m rows, so that both sides
// have the same leading dimensions.
Status matmul(Builder& b, const Operation& op) {
  int32_t left = NB_TRY(b.value(op.inputs[0]));
  auto turned = b.turned.find(op.inputs[1]);
  bool adjoint = turned != b.turned.end();
  int32_t right = adjoint ? turned->second : NB_TRY(b.value(op.inputs[1]));
  Ints rows = b.dims(left), columns = b.dims(right), out = rows;
  size_t rank = rows.size();
  out.back() = columns[rank - (adjoint ? 2 : 1)];
  Ints joined(rows.begin(), rows.end() - 3), single(columns.begin(), columns.end() - 3);
  joined.insert(joined.end(), {rows[rank - 3] * rows[rank - 2], rows[rank - 1]});
  single.insert(single.end(), {columns[rank - 2], columns[rank - 1]});
  left = b.reshape(op.name + "/left", left, joined);
  right = b.reshape(op.name + "/right", right, single);
  joined.back() = out.back();
  FlatTable o;
  o.scalar(options::kAdjointY, adjoint);
  int32_t y = b.emit(op.name + "/product", TfliteOp::kBatchMatmul, {left, right}, b.type(left),
                     joined, options::kBatchMatmul, o);
  b.set(op.outputs[0], b.reshape(op.outputs[0], y, out));
  return {};
}

Status update_slice(Builder& b, const Operation& op) {
  std::vector<int32_t> in = NB_TRY(b.values(op.inputs));
  TfliteType type = b.type(in[0]);
  Ints dims = b.dims(in[0]);
  b.set(op.outputs[0],
        b.emit(op.outputs[0], TfliteOp::kDynamicUpdateSlice, std::move(in), type, dims));
  return {};
}

// Operations that are one operator of the same inputs, element by element.
const std::unordered_map<std::string_view, TfliteOp> kElementwise = {
    {"Add", TfliteOp::kAdd},        {"Sub", TfliteOp::kSub},
    {"Mul", TfliteOp::kMul},        {"Div", TfliteOp::kDiv},
    {"Sqrt", TfliteOp::kSqrt},      {"Sigmoid", TfliteOp::kLogistic},
    {"Tanh", TfliteOp::kTanh},      {"Relu", TfliteOp::kRelu},
    {"And", TfliteOp::kLogicalAnd}, {"Greater", TfliteOp::kGreater},
    {"Where", TfliteOp::kSelectV2}, {"LessOrEqual", TfliteOp::kLessEqual},
};

const std::unordered_map<std::string_view, Status (*)(Builder&, const Operation&)> kOthers = {
    {"Identity", identity},
    {"Reshape", reshape},
    {"Unsqueeze", unsqueeze},
    {"Squeeze", squeeze},
    {"Transpose", transpose},
    {"Split", split},
    {"Concat", concat},
    {"Gather", gather},
    {"Cast", cast},
    {"Pow", square},
    {"Clip", clip},
    {"ReduceMean", reduce},
    {"ReduceSum", reduce},
    {"LayerNormalization", layer_norm},
    {"Softmax", softmax},
    {"Gelu", gelu},
    {"TopK", top_k},
    {"MatMul", matmul},
    {"QuantizeLinear", lower_quantize},
    {"DequantizeLinear", lower_dequantize},
    {kFullyConnectedOp, lower_fully_connected},
    {kUpdateSliceOp, update_slice},
};

Status lower(Builder& b, const Operation& op) {
  if (auto at = kElementwise.find(op.op); at != kElementwise.end()) {
    std::vector<int32_t> inputs = NB_TRY(b.values(op.inputs));
    b.set(op.outputs[0], b.elementwise(op.outputs[0], at->second, std::move(inputs)));
    return {};
  }
  auto at = kOthers.find(op.op);
  if (at == kOthers.end()) return fail("{}: TFLite has no line for {}", op.name, op.op);
  return at->second(b, op);
}

}  // namespace

Status add_tflite_subgraph(const OnnxGraph& graph, const std::string& name, TfliteModel& model) {
  Builder b(graph, model);
  TfliteSubgraph& out = b.subgraph();
  out.name = name;
  for (const OnnxPort& p : graph.inputs()) {
    Ints dims;
    for (const OnnxDim& d : p.dims) dims.push_back(std::get<int64_t>(d));
    int32_t tensor = b.tensor(p.name, NB_TRY(tflite_type(p.type, p.name)), dims);
    b.set(p.name, tensor);
    out.inputs.emplace_back(p.name, tensor);
  }
  for (const Operation& op : graph.operations()) NB_OK(lower(b, op));
  for (const OnnxPort& p : graph.outputs()) {
    std::string shown = p.name;
    if (p.name.ends_with(kNext)) shown.resize(shown.size() - std::string_view(kNext).size());
    out.outputs.emplace_back(shown, NB_TRY(b.value(p.name)));
  }
  model.subgraphs.push_back(std::move(out));
  return {};
}

}  // namespace nibble
