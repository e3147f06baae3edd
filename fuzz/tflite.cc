// A TFLite file: every constant is read to its end, and the lint looks at each operator.
#include "export/lint/lint.h"
#include "export/tflite/file.h"
#include "input_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace nibble;
  InputFolder folder(data, size, {"model.tflite"});
  auto file = TfliteFile::open(folder.path() + "/model.tflite");
  if (!file) return 0;
  size_t sum = 0;
  for (const TfliteFile::Subgraph& graph : file->subgraphs())
    for (const TfliteFile::Tensor& t : graph.tensors)
      for (std::byte b : t.bytes) sum += static_cast<size_t>(b);
  sum += static_cast<size_t>(file->weights().weight_bytes());
  volatile size_t kept = sum;
  (void)kept;
  NB_CHECK(kLint_edgetpu.problems(folder.path()));
  return 0;
}
