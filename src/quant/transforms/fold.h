// Channels between two layers of a block that may be scaled without changing its function: what
// makes them is divided, what reads them is multiplied.
#pragma once

#include <vector>

#include "quant/transforms/transform.h"

namespace nibble {

struct Fold {
  Stage stage;                // whose inputs the channels are
  std::vector<Role> readers;  // the linears of that stage
  int64_t channels;
  // The channel behind each input column. Query heads that share a value head share its channels.
  std::vector<int64_t> channel_of;
  // What makes the channels: a norm, or, where rows are given, those of a linear.
  NormPlace norm = NormPlace::kAttentionIn;
  Role maker = Role::kV;
  std::vector<int64_t> rows = {};
};

// norm -> q, k, v | norm -> gate, up: those that the block has and whose norm nothing else reads.
std::vector<Fold> norm_folds(const DecoderConfig& config, const FloatBlock& block);
// The same, and v -> o, up -> down (of an MLP with a gate), in the order of the stages.
std::vector<Fold> all_folds(const DecoderConfig& config, const FloatBlock& block);

// Divides the channels by s and multiplies the readers' columns. s: (channels), finite and above 0.
// A norm is rounded to the type it is stored in first, and s becomes what that made of it, so the
// function does not change by that rounding.
void apply_fold(const DecoderConfig& config, FloatBlock& block, const Fold& fold,
                std::vector<float> s);

// Per channel, the largest |w| of the readers' columns.
std::vector<float> column_absmax(FloatBlock& block, const Fold& fold);

}  // namespace nibble
