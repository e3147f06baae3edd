#include "export/tflite/lower_linear.h"

#include <cmath>

namespace nibble {

using namespace tflite;

namespace {

using Ints = std::vector<int64_t>;
using Builder = TfliteBuilder;
using Operation = OnnxOperation;

Result<std::vector<float>> floats_of(Builder& b, const OnnxValue& name) {
  std::vector<float> out;
  NB_OK(b.weight(name).write(
      [&](std::span<const std::byte> piece, std::shared_ptr<const void>) -> Status {
        size_t at = out.size();
        out.resize(at + piece.size() / sizeof(float));
        std::memcpy(out.data() + at, piece.data(), piece.size());
        return {};
      }));
  return out;
}

TfliteGrid& grid_of(Builder& b, int32_t tensor) {
  return b.subgraph().tensors[static_cast<size_t>(tensor)].grid;
}

// A weight's scales into its tensor: those of rows are few and part of the file's tables.
Status add_grid(Builder& b, int32_t w, const OnnxValue& scales) {
  constexpr int64_t kMiddle = 128;
  const OnnxWeight& weight = b.weight(scales);
  TfliteGrid grid;
  if (weight.type == OnnxType::kFloat16) {
    grid.block = b.dims(w)[1] / weight.dims[1];
    grid.block_scales = NB_TRY(b.value(scales));
  } else {
    grid.scales = NB_TRY(floats_of(b, scales));
    bool one = b.type(w) == TfliteType::kUint8;
    if (one) grid.scales.resize(1);
    grid.zeros.assign(grid.scales.size(), one ? kMiddle : 0);
  }
  grid_of(b, w) = std::move(grid);
  return {};
}

// The grid of integers with this scale and zero point, both constants.
void set_grid(Builder& b, int32_t tensor, const OnnxValue& scale, const OnnxValue& zero) {
  const OnnxConstant& z = b.stored(zero);
  auto bits = static_cast<uint8_t>(z.bytes[0]);
  TfliteGrid& grid = grid_of(b, tensor);
  grid.scales.resize(1);
  std::memcpy(grid.scales.data(), b.stored(scale).bytes.data(), sizeof(float));
  grid.zeros = {z.type == OnnxType::kInt8 ? int64_t{static_cast<int8_t>(bits)} : bits};
}

// A bias of integers: in steps of the product of both scales.
Result<int32_t> integer_bias(Builder& b, int32_t x, int32_t w, const OnnxValue& bias) {
  if (bias.empty()) return -1;
  std::vector<float> values = NB_TRY(floats_of(b, bias));
  const std::vector<float>& scales = grid_of(b, w).scales;
  double in = grid_of(b, x).scales[0];
  std::vector<int32_t> steps;
  for (size_t i = 0; i < values.size(); ++i) {
    double step = in * scales[scales.size() > 1 ? i : 0],
           rounded = std::nearbyint(values[i] / step);
    if (!(std::abs(rounded) <= kMostBiasSteps))
      return fail(
          "{}: {:g} in row {} is more than 2^30 steps of {:g}, beside weights that small; take "
          "tflite:dynamic",
          bias, values[i], i, step);
    steps.push_back(static_cast<int32_t>(rounded));
  }
  int32_t out = b.numbers(bias, steps);
  grid_of(b, out).scales.assign(scales.size(), 0);
  for (size_t i = 0; i < scales.size(); ++i)
    grid_of(b, out).scales[i] = static_cast<float>(in * scales[i]);
  grid_of(b, out).zeros.assign(scales.size(), 0);
  return out;
}

}  // namespace

Status lower_quantize(Builder& b, const Operation& op) {
  int32_t x = NB_TRY(b.value(op.inputs[0]));
  TfliteType type = NB_TRY(tflite_type(b.stored(op.inputs[2]).type, op.name));
  int32_t out = b.emit(op.outputs[0], TfliteOp::kQuantize, {x}, type, b.dims(x));
  set_grid(b, out, op.inputs[1], op.inputs[2]);
  b.set(op.outputs[0], out);
  return {};
}

Status lower_dequantize(Builder& b, const Operation& op) {
  int32_t x = NB_TRY(b.value(op.inputs[0]));
  b.set(op.outputs[0],
        b.emit(op.outputs[0], TfliteOp::kDequantize, {x}, TfliteType::kFloat32, b.dims(x)));
  return {};
}

Status lower_fully_connected(Builder& b, const Operation& op) {
  int32_t x = NB_TRY(b.value(op.inputs[0])), w = NB_TRY(b.value(op.inputs[1]));
  bool weight_integers = !op.inputs[2].empty(), integers = op.inputs.size() > 4;
  if (weight_integers) NB_OK(add_grid(b, w, op.inputs[2]));
  int32_t bias = NB_TRY(integers ? integer_bias(b, x, w, op.inputs[3]) : b.value(op.inputs[3]));
  Ints dims = b.dims(x);
  dims.back() = b.dims(w)[0];
  FlatTable o;
  o.scalar(options::kKeepNumDims, true);
  o.scalar(options::kAsymmetricInputs, weight_integers && !integers);
  int32_t y = b.emit(op.outputs[0], TfliteOp::kFullyConnected, {x, w, bias}, b.type(x), dims,
                     options::kFullyConnected, o);
  if (integers) set_grid(b, y, op.inputs[4], op.inputs[5]);
  b.set(op.outputs[0], y);
  return {};
}

}  // namespace nibble
