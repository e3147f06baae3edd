// ALiBi's slopes (Press et al., arXiv 2108.12409).
#pragma once

#include "model/config.h"

namespace nibble {

// What query head `head` multiplies a key's position by, as its family computes it; before
// kFalcon's roundings and factors (model/positions.cc).
float alibi_slope(const DecoderConfig& config, int64_t head);

}  // namespace nibble
