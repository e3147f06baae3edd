// The merges of a SentencePiece BPE model, which ranks pieces by score and knows no merges.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace nibble {

// [["a", "b"], ...], first the one that is merged first, as huggingface/transformers writes them
// (convert_slow_tokenizer.py): every way to make a piece of two pieces, the better score first,
// then the longer left side, then the longer right one. `merged`: the pieces that take part.
Json spm_merges(std::span<const std::string_view> pieces, std::span<const double> scores,
                const std::vector<bool>& merged);

}  // namespace nibble
