// llama.cpp's name of how a tokenizer splits texts into words.
#pragma once

#include <string>

#include "base/json.h"

namespace nibble {

// The value of tokenizer.ggml.pre whose patterns (text/gguf_pre_tokenizers.inc) are those of the
// tokenizer.json; an error that names `what` where there is none.
Result<std::string> gguf_pre_tokenizer(const Json& tokenizer, const std::string& model_type,
                                       const std::string& what);

}  // namespace nibble
