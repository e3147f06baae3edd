// The normalizer "Precompiled" of tokenizer.json: SentencePiece's table of replacements as Hugging
// Face applies it.
#pragma once

#include "text/normalizers.h"

namespace nibble {

// `j`: {"precompiled_charsmap": base64}. An error names what is damaged.
Result<std::unique_ptr<Normalizer>> make_precompiled(const Json& j, const std::string& what);

}  // namespace nibble
