// A mixture of experts inside a block: which tokens pass which experts, and their products.
// Source: Shazeer et al., arXiv 1701.06538; the softmax over all experts before the choice is
// Mixtral's (arXiv 2401.04088).
#pragma once

#include "model/block.h"

namespace nibble {

// Chooses by flow.x, the MLP's input.
void route(const DecoderConfig& config, const Block& block, Flow& flow);
// flow.x from (rows, hidden) to the experts' activations, (routes, expert_mlp).
void expert_gate_and_up(const DecoderConfig& config, const Block& block, Flow& flow);
// From those to the weighted sum of what a token's experts give, y: (rows, hidden).
void expert_down(const DecoderConfig& config, const Block& block, const Flow& flow, float* y);

}  // namespace nibble
