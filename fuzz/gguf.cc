// A GGUF file: metadata, and tensors of all block types as floats.
#include "formats/gguf.h"

#include "input_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace nibble;
  InputFile input(data, size);
  auto file = open_gguf(input.path());
  if (!file) return 0;
  for (const GgufTensor& t : file->tensors) {
    std::vector<float> floats(static_cast<size_t>(t.elements()));
    gguf_to_float(t, floats.data());
  }
  return 0;
}
