// `nibble plan --validate`: predictions for this machine against its clock.
#pragma once

#include <string>

#include "base/result.h"

namespace nibble {

// Quantizes the model in every scheme, runs it, and prints predicted and measured tokens a second
// of decoding and of a prompt of `prompt` tokens. 1 where any is more than 20 % off.
Result<int> validate_plan(const std::string& model, int64_t prompt, bool json);

}  // namespace nibble
