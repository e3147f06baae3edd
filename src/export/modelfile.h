// Ollama's Modelfile: what it needs to know of a model beside the GGUF file.
// Source: docs.ollama.com/modelfile, docs.ollama.com/template (Go templates over .Messages).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/config.h"

namespace nibble {

inline constexpr const char* kModelfile = "Modelfile";

// For the file named `gguf` in `folder`, which holds the model's side files. Ollama's templates are
// no Jinja: the one written says what the chat template makes of a conversation's turns, and is
// left out, with a comment, where a trial conversation comes out otherwise.
Result<std::string> modelfile(const std::string& folder, const std::string& gguf,
                              const DecoderConfig& config);

// A chat template as Ollama's TEMPLATE and its default system prompt; `render` gives the prompt of
// a conversation of (role, content), with the answer's beginning. `bos`: the text of the token that
// Ollama puts in front itself. text empty: it cannot be said so.
struct OllamaTemplate {
  std::string text, system;
};
struct Turn {
  const char* role;
  std::string content;
};
OllamaTemplate ollama_template(
    const std::function<Result<std::string>(const std::vector<Turn>&)>& render,
    const std::string& bos);

}  // namespace nibble
