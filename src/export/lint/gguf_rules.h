// What llama.cpp asks of a GGUF file, which Ollama runs too.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace nibble {

Result<std::vector<std::string>> gguf_problems(const std::string& path);

}  // namespace nibble
