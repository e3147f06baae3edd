// How the pre-tokenizers that tokenizer.ggml.pre names split a text.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace nibble {

// The patterns to split at in turn. An empty name is "default"; an unknown one an error that names
// `what`.
Result<std::vector<const char*>> gguf_split_patterns(const std::string& name,
                                                     const std::string& what);

}  // namespace nibble
