// A tokenizer described by tokenizer.json (Hugging Face tokenizers).
#pragma once

#include <memory>

#include "text/tokenizer.h"

namespace nibble {

// `path` is the file. The begin and end tokens are those of its post-processor.
Result<std::unique_ptr<Tokenizer>> load_hf_tokenizer(const std::string& path);

}  // namespace nibble
