// A model over a held-out text, beside its float model or alone.
#pragma once

#include <optional>
#include <string>

#include "eval/compare.h"
#include "eval/protocol.h"
#include "model/size.h"
#include "model/weights.h"

namespace nibble {

struct EvaluationOptions {
  std::string text;  // a path, or "-"
  WindowOptions windows;
  Activations activations = Activations::kFloat;  // of the candidate
};

struct Evaluation {
  Comparison scores;
  SizeReport size;  // the candidate's; parameters are the float model's where there is one
  int64_t reference_bytes = 0;  // of all the float model's tensors; 0 without one
  size_t windows = 0, tokens = 0;
  ArithmeticCounts linears;  // Decoder::arithmetic
  bool compared = false;
};

// The windows of a held-out text for these two; `reference` may be null.
// Refused: windows that a context does not hold, ids beyond a vocabulary, vocabularies that differ.
Result<std::vector<Window>> held_out_windows(const Decoder& candidate, const Decoder* reference,
                                             const Tokenizer& tokenizer, const std::string& text,
                                             const WindowOptions& options);
// What score_windows gave for them, in sum.
Result<Evaluation> evaluation_of(const Decoder& candidate, const Decoder* reference,
                                 const std::vector<Window>& windows, const TokenScores& scores);

// Both. `reference`: the float model. The text is cut by the tokenizer of the folder `tokenizer`.
Result<Evaluation> evaluate(Weights candidate, std::optional<Weights> reference,
                            const std::string& tokenizer, const EvaluationOptions& options);

// The same of logits that come from elsewhere, of a model of this config; sizes stay 0. `start` is
// told the windows before the first are asked for.
struct ForeignLogits {
  std::function<Status(const std::vector<Window>&)> start;
  LogitSource logits;
};
Result<Evaluation> evaluate_foreign(const ForeignLogits& candidate, const DecoderConfig& config,
                                    std::optional<Weights> reference, const std::string& tokenizer,
                                    const EvaluationOptions& options);

}  // namespace nibble
