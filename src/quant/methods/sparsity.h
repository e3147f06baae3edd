// Which weights a sparse method takes away.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "quant/methods/method.h"

namespace nibble {

// "0.5", a share of all weights from 0 to 0.99, or "2:4", so many kept of each so many columns in a
// row (at most 64, a power of two).
Result<Sparsity> parse_sparsity(const std::string& text);
std::string sparsity_text(const Sparsity& s);

// Sets pruned[i] for the `share` of the scores that are smallest, between equals the first.
void prune_smallest(std::span<const float> scores, double share, std::span<uint8_t> pruned);

}  // namespace nibble
