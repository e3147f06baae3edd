// tokenizer.json, and behind a NUL a text for the tokenizer that it describes.
#include <string_view>

#include "input_file.h"
#include "text/hf_tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace nibble;
  std::string_view all(reinterpret_cast<const char*>(data), size);
  size_t end = std::min(all.find('\0'), size);
  std::string_view text = end < size ? all.substr(end + 1) : "a b\xC3\xA9  Az 12\n\xE4\xBD\xA0";
  InputFile input(data, end);
  auto tokenizer = load_hf_tokenizer(input.path());
  if (!tokenizer) return 0;
  if (text.size() > 512) text = text.substr(0, 512);
  for (bool special : {false, true}) {
    auto ids = (*tokenizer)->encode(text, special);
    if (!ids) continue;
    (void)(*tokenizer)->decode(*ids, special);
    StreamDecoder stream(**tokenizer);
    for (int32_t id : *ids) (void)stream.push(id);
    (void)stream.finish();
  }
  return 0;
}
