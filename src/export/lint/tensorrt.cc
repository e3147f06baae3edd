#include "export/onnx/tensorrt.h"

#include "export/lint/lint.h"

namespace nibble {
namespace {

Result<std::vector<std::string>> problems(const std::string& folder) {
  return tensorrt_problems(NB_TRY(OnnxFile::open(folder)));
}

}  // namespace

extern const LintTarget kLint_tensorrt = {"tensorrt", "TensorRT's rules for quantized ONNX folders",
                                          problems};

}  // namespace nibble
