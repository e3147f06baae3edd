// What schemes would cost a model, without making any: each part alone is quantized to one scheme
// and the KL measured, the other schemes follow by how much more or less they round, and parts add
// up.
#pragma once

#include <string>
#include <vector>

#include "quant/recipe.h"

namespace nibble {

struct LossQuestion {
  Scheme scheme;                   // of all linears of the blocks
  const Method* method = nullptr;  // that makes them
};

// How the answers came about, for people.
struct LossEstimate {
  std::vector<double> kl;  // nats a token, of each question
  std::string probe;       // the scheme that was measured
  int64_t tokens = 0;      // that it was measured on
  std::string windows;     // what they are
};

// `outer`: of the embedding where the head is tied to it, else of the head; rounded to nearest and
// measured as it is. `text`: path of a UTF-8 text, or empty: the model writes its own.
Result<LossEstimate> estimate_losses(const std::string& model, const std::string& text,
                                     const std::vector<LossQuestion>& questions,
                                     const Scheme& outer);

}  // namespace nibble
