// tokenizer.model, a SentencePiece protobuf, and texts for the tokenizer that it describes.
#include "text/sentencepiece.h"

#include <string_view>

#include "input_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace nibble;
  InputFile input(data, size);
  auto tokenizer = load_sentencepiece(input.path(), {});
  if (!tokenizer) return 0;
  for (std::string_view text :
       {"", " a  b\n", "the cat \xEF\xBC\xA1\xC3\xA9\xE4\xBD\xA0 aaaabbab"}) {
    auto ids = (*tokenizer)->encode(text, true);
    if (!ids) continue;
    (void)(*tokenizer)->decode(*ids, true);
    StreamDecoder stream(**tokenizer);
    for (int32_t id : *ids) (void)stream.push(id);
    (void)stream.finish();
  }
  return 0;
}
