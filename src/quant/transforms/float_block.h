// A block's floats between the checkpoint and the methods.
#pragma once

#include <optional>
#include <vector>

#include "model/block.h"
#include "quant/recipe.h"

namespace nibble {

// The weights as load_matrix gives them, each for its scheme of the plan; those that stay float are
// treated as 8 bits. Statistics are still to be gathered.
Result<FloatBlock> load_float_block(const Weights& weights, int64_t layer, const Plan& plan);

// Runs one flow's tokens through the block's stages and adds what enters each. The flow itself
// stays where it is; its caches are written.
void gather_inputs(const DecoderConfig& config, const Block& block, const Positions& positions,
                   Flow flow, FloatBlock& floats);

// Puts those of a block's norms that are among the tensors, as a checkpoint stores them, in place.
void take_norms(const DecoderConfig& config, const std::vector<NamedTensor>& tensors, Block& block);

// Makes the block run on the changed floats.
void install(const FloatBlock& floats, Block& block);

// What differs from the checkpoint and no method writes: norms, and the weights and biases of
// linears that stay float. The weights go to the type they have there, and `floats` with them, so
// that a resumed job, which reads them back, goes on with the same values.
Result<std::vector<NamedTensor>> changed_floats(const Weights& weights, const Plan& plan,
                                                FloatBlock& floats);

// The tensor of that name in the list, as floats.
std::optional<std::vector<float>> find_floats(const std::vector<NamedTensor>& tensors,
                                              const std::string& name);

}  // namespace nibble
