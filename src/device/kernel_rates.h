// How fast this machine's kernels are: what a plan for it is made of.
#pragma once

#include <span>
#include <string>

#include "device/profile.h"
#include "model/decoder.h"

namespace nibble {

// Schemes whose rates a profile holds, "bf16" among them.
std::span<const char* const> rated_schemes();

// Of one scheme, or "bf16": products with matrices of 5632 x 2048 that are together larger than the
// caches. Medians; seconds in all.
Result<KernelRate> measure_kernels(const std::string& scheme);
// With a decoder that is at hand; of several hundred tokens of context.
BlockRates measure_block(const Decoder& decoder);

}  // namespace nibble
