// How likely a model finds a text behind another, as lm-evaluation-harness asks it.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "model/decoder.h"
#include "text/tokenizer.h"

namespace nibble {

// Ids of a prompt: with the special tokens of the tokenizer's own rules, but for a text that begins
// with begin-of-text already.
Result<std::vector<int32_t>> encode_context(const Tokenizer& tokenizer, std::string_view text);

// Neither part is empty.
struct Continuation {
  std::vector<int32_t> context, ids;
};
// The ids of both texts together, cut where those of the context alone end. White space at the
// context's end goes to the continuation first, as most tokenizers keep it with the next word.
Result<Continuation> split_continuation(const Tokenizer& tokenizer, std::string_view context,
                                        std::string_view continuation);
// Shortens the context from the left to what the model's holds. Fails where the ids alone do not
// fit, and for ids beyond the vocabulary.
Status fit_continuation(const Decoder& model, Continuation& continuation);

struct Likelihood {
  double log = 0;      // of all ids, nats
  bool greedy = true;  // each was the likeliest (ties: lowest id)
};
// Of each, summed in float64. Neighbours with the same context read it once. All were fitted.
std::vector<Likelihood> score_continuations(const Decoder& model,
                                            std::span<const Continuation> continuations);

}  // namespace nibble
