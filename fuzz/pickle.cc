// pytorch_model.bin, as a whole zip file and as the pickle inside one.
#include "formats/pickle.h"

#include "formats/pytorch_bin.h"
#include "input_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace nibble;
  if (size < 2 || data[0] != 'P' || data[1] != 'K') {
    (void)read_pickled_tensors({reinterpret_cast<const char*>(data), size}, "data.pkl");
    return 0;
  }
  InputFile input(data, size);
  auto tensors = open_pytorch_bin(input.path());
  if (!tensors) return 0;
  size_t sum = 0;
  for (const NamedTensor& t : *tensors)
    for (std::byte b : t.view.bytes) sum += static_cast<size_t>(b);
  volatile size_t kept = sum;
  (void)kept;
  return 0;
}
