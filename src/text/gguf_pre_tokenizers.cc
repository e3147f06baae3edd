#include "text/gguf_pre_tokenizers.h"

#include "base/json.h"

namespace nibble {

Result<std::vector<const char*>> gguf_split_patterns(const std::string& name,
                                                     const std::string& what) {
  std::string known, wanted = name.empty() ? "default" : name;
#define X(pre, ...)                                                  \
  if (wanted == (pre)) return std::vector<const char*>{__VA_ARGS__}; \
  known += (known.empty() ? "" : ", ") + std::string(pre);
#include "text/gguf_pre_tokenizers.inc"
#undef X
  return fail("{}: tokenizer.ggml.pre {} is not known; known: {}", what, in_quotes(name), known);
}

}  // namespace nibble
