#include "export/onnx/tensorrt.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace nibble {
namespace {

constexpr std::array kUnknown = {"DynamicQuantizeLinear", "MatMulInteger", "QLinearMatMul",
                                 "QLinearConv", "ConvInteger"};
constexpr const char* kQuantize = "QuantizeLinear";
constexpr const char* kDequantize = "DequantizeLinear";

class Linter {
 public:
  explicit Linter(const OnnxFile& file) : file_(file) {}

  std::vector<std::string> run() {
    for (const OnnxNode& node : file_.nodes()) {
      if (!node.domain.empty() && node.domain != "ai.onnx")
        say(node, fmt::format("{} is an operator of {}", node.op, node.domain));
      if (std::ranges::any_of(kUnknown, [&](const char* op) { return node.op == op; }))
        say(node, fmt::format("TensorRT has no {}", node.op));
      if (node.op == kQuantize || node.op == kDequantize) grid(node);
    }
    return std::move(out_);
  }

 private:
  void say(const OnnxNode& node, const std::string& reason) {
    out_.push_back(fmt::format("{}: {}", node.name, reason));
  }

  void grid(const OnnxNode& node) {
    if (node.inputs.size() < 2 || !file_.has(node.inputs[1]))
      return say(node, "its scale is no constant");
    OnnxTensor scale = *file_.get(node.inputs[1]);
    if (scale.type != OnnxType::kFloat) return say(node, "its scale is no float32");
    if (!std::ranges::all_of(scale.floats(), [](float s) { return s > 0 && std::isfinite(s); }))
      say(node, "has a scale that is not above 0");
    zero(node);
    bool weight = node.op == kDequantize && file_.has(node.inputs[0]);
    if (weight) integers(node, *file_.get(node.inputs[0]), scale);
  }

  void zero(const OnnxNode& node) {
    bool given = node.inputs.size() > 2 && !node.inputs[2].empty();
    if (!given && node.op == kQuantize) return say(node, "quantizes to uint8; TensorRT takes int8");
    if (!given) return;
    if (!file_.has(node.inputs[2])) return say(node, "its zero point is no constant");
    OnnxTensor z = *file_.get(node.inputs[2]);
    if (std::ranges::any_of(z.bytes, [](std::byte b) { return b != std::byte{}; }))
      say(node, "has a zero point that is not 0");
    if (z.type != OnnxType::kInt8 && z.type != OnnxType::kInt4)
      say(node, "has unsigned integers; TensorRT takes int8 and int4");
  }

  void integers(const OnnxNode& node, const OnnxTensor& codes, const OnnxTensor& scale) {
    bool four = codes.type == OnnxType::kInt4;
    if (!four && codes.type != OnnxType::kInt8)
      say(node, "has weights that are neither int8 nor int4");
    if (four && scale.dims.size() < 2) say(node, "has int4 weights without blocks");
    if (!four && scale.dims.size() > 1) say(node, "has int8 weights in blocks");
  }

  const OnnxFile& file_;
  std::vector<std::string> out_;
};

}  // namespace

std::vector<std::string> tensorrt_problems(const OnnxFile& file) { return Linter(file).run(); }

Result<Json> tensorrt_ranges(const OnnxFile& file) {
  constexpr float kLargestCode = 127;
  Json tensors = Json::object();
  for (const OnnxNode& node : file.nodes()) {
    if (node.op != kQuantize || node.inputs.size() < 2) continue;
    std::vector<float> scale = NB_TRY(file.get(node.inputs[1])).floats();
    tensors[node.inputs[0]] = {{"amax", scale.empty() ? 0 : scale[0] * kLargestCode}};
  }
  return Json{{"tensors", std::move(tensors)}};
}

}  // namespace nibble
