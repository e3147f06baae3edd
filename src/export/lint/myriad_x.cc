// Intel's Myriad X (Neural Compute Stick 2). Source: docs.openvino.ai, release notes of 2022.3 LTS
// and 2023.0.
#include "export/lint/lint.h"
#include "export/onnx/file.h"

namespace nibble {
namespace {

Result<std::vector<std::string>> problems(const std::string& folder) {
  OnnxFile file = NB_TRY(OnnxFile::open(folder));
  std::vector<std::string> out = {
      "Intel ended the support of Myriad X: OpenVINO 2022.3 LTS is the last release with a plugin "
      "for it, and that reads ONNX of opset 13 with fixed shapes, not this one. What still works: "
      "this folder in today's OpenVINO on a CPU, GPU or NPU."};
  for (const std::string& name : file.dynamic_inputs())
    out.push_back(name + ": has a size that varies");
  return out;
}

}  // namespace

extern const LintTarget kLint_myriad_x = {
    "myriad-x", "Intel's Neural Compute Stick 2: says what still works", problems};

}  // namespace nibble
