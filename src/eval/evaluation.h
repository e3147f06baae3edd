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
  size_t windows = 0, tokens = 0;
  std::pair<int64_t, int64_t> integer_linears;  // Decoder::integer_linears
  bool compared = false;
};

// `reference`: the float model. The text is cut by the tokenizer of the folder `tokenizer`.
// Refused: windows that a context does not hold, ids beyond a vocabulary, vocabularies that differ.
Result<Evaluation> evaluate(Weights candidate, std::optional<Weights> reference,
                            const std::string& tokenizer, const EvaluationOptions& options);

}  // namespace nibble
