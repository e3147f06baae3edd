// A .safetensors file: every tensor that is handed out can be read to its end.
#include "formats/safetensors.h"

#include "input_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace nibble;
  InputFile input(data, size);
  auto file = open_safetensors(input.path());
  if (!file) return 0;
  size_t sum = 0;
  for (const NamedTensor& t : file->tensors) {
    NB_CHECK(static_cast<int64_t>(t.view.bytes.size()) <= static_cast<int64_t>(size));
    for (std::byte b : t.view.bytes) sum += static_cast<size_t>(b);
  }
  volatile size_t kept = sum;
  (void)kept;
  return 0;
}
