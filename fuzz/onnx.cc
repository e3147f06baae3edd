// A folder of ONNX whose data file is the model itself: every constant is read to its end, and the
// lints look for what their targets refuse.
#include "export/lint/lint.h"
#include "export/onnx/tensorrt.h"
#include "input_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace nibble;
  InputFolder folder(data, size, {"model.onnx", "model.onnx.data"});
  auto file = OnnxFile::open(folder.path());
  if (!file) return 0;
  size_t sum = 0;
  for (const OnnxNode& node : file->nodes())
    for (const std::string& name : node.inputs)
      if (file->has(name))
        for (std::byte b : file->get(name)->bytes) sum += static_cast<size_t>(b);
  volatile size_t kept = sum;
  (void)kept;
  (void)tensorrt_ranges(*file);
  for (const LintTarget* target : {&kLint_tensorrt, &kLint_hexagon, &kLint_myriad_x})
    NB_CHECK(target->problems(folder.path()));
  return 0;
}
