// Hexagon by way of QNN: what its HTP backend takes of an ONNX folder, and QNN's way to write a
// grid: value = (q + offset) * scale, so offset = -zero_point; UFIXED_POINT_8 and SFIXED_POINT_8
// are the same integers 128 apart (q_u = q_s ^ 0x80, zero_u = zero_s + 128), the same scale.
// Sources: onnxruntime.ai, "QNN Execution Provider"; google-ai-edge/LiteRT,
// litert/vendors/qualcomm/core/wrappers/{quantize_params,tensor}_wrapper.cc.
#include <algorithm>
#include <map>

#include "export/lint/lint.h"
#include "export/onnx/file.h"

namespace nibble {
namespace {

constexpr uint8_t kMiddle = 128;

class Linter {
 public:
  explicit Linter(const OnnxFile& file) : file_(file) {}

  std::vector<std::string> run() {
    for (const std::string& name : file_.dynamic_inputs())
      out_.push_back(name +
                     ": has a size that varies; QNN's graphs have fixed shapes: set them "
                     "first (onnxruntime.tools.make_dynamic_shape_fixed)");
    for (const OnnxNode& node : file_.nodes()) {
      for (const std::string& value : node.outputs) producers_[value] = node.op;
      check(node);
    }
    if (floats_ > 0)
      out_.push_back(
          fmt::format("{} and {} others: multiply float inputs, and the HTP backend runs "
                      "integers; quantize with --input-ranges and export onnx:int8-qdq",
                      first_float_, floats_ - 1));
    return std::move(out_);
  }

 private:
  void say(const OnnxNode& node, const std::string& reason) {
    out_.push_back(node.name + ": " + reason);
  }

  void check(const OnnxNode& node) {
    if (!node.domain.empty() && node.domain != "ai.onnx")
      return say(node, fmt::format("{} is an operator of {}", node.op, node.domain));
    for (const char* op : {"DynamicQuantizeLinear", "MatMulInteger"})
      if (node.op == op)
        return say(node, fmt::format("QNN has no {}: its scales are constants", op));
    if (node.op == "DequantizeLinear" && node.inputs.empty())
      return say(node, "it has no operands");
    if (node.op == "DequantizeLinear" && file_.has(node.inputs[0])) return weight(node);
    if (node.op == "MatMul" && node.inputs.size() == 2 &&
        producers_[node.inputs[1]] == "DequantizeLinear" &&
        producers_[node.inputs[0]] != "DequantizeLinear" && floats_++ == 0)
      first_float_ = node.name;
  }

  void weight(const OnnxNode& node) {
    OnnxTensor codes = *file_.get(node.inputs[0]);
    if (node.inputs.size() < 2 || !file_.has(node.inputs[1]))
      return say(node, "its scale is no constant");
    if (file_.get(node.inputs[1])->dims.size() > 1)
      return say(node, "its scales are of blocks; QNN's are of a tensor or of its rows");
    if (codes.type != OnnxType::kInt8 && codes.type != OnnxType::kUint8)
      return say(node, "its weights are no bytes");
    if (node.inputs.size() < 3 || !file_.has(node.inputs[2])) return;
    // Rows with scales of their own are symmetric: unsigned 128 is signed 0, offset 0.
    auto middle = std::byte{codes.type == OnnxType::kUint8 ? kMiddle : uint8_t{0}};
    OnnxTensor zeros = *file_.get(node.inputs[2]);
    if (zeros.bytes.size() > 1 &&
        std::ranges::any_of(zeros.bytes, [&](std::byte z) { return z != middle; }))
      say(node,
          "has rows whose zero points are not the middle; QNN's scales of rows are "
          "symmetric: quantize with a symmetric scheme");
  }

  const OnnxFile& file_;
  std::map<std::string, std::string> producers_;  // operators by value
  std::string first_float_;
  int64_t floats_ = 0;
  std::vector<std::string> out_;
};

Result<std::vector<std::string>> problems(const std::string& folder) {
  OnnxFile file = NB_TRY(OnnxFile::open(folder));
  return Linter(file).run();
}

}  // namespace

extern const LintTarget kLint_hexagon = {"hexagon", "Qualcomm's QNN (HTP backend), on ONNX folders",
                                         problems};

}  // namespace nibble
