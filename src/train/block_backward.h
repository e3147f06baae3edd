// The backward pass of one transformer block.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "model/block.h"

namespace nibble {

// Where a block's linear stands in lists of all of them: first those that all tokens pass (expert
// -1), then expert by expert.
inline size_t linear_slot(Role role, int64_t expert = -1) {
  return static_cast<size_t>(expert + 1) * kRoles + static_cast<size_t>(role);
}
inline size_t linear_slot(const LinearSpec& spec) { return linear_slot(spec.role, spec.expert); }
inline size_t linear_slots(const LayerConfig& layer) {
  return linear_slot(Role::kQ, layer.experts);
}

// dL/dparameter of one block, added up over calls. A vector left empty is not computed; neither are
// those of biases of the norms of queries and keys.
struct BlockGradient {
  std::vector<std::vector<float>> w, bias;            // of linears, by slot: (n, k), (n)
  std::array<std::vector<float>, kNormPlaces> norms;  // of their weights as blocks run them
  std::array<std::vector<float>, kNormPlaces> norm_biases;

  explicit BlockGradient(const LayerConfig& layer)
      : w(linear_slots(layer)), bias(linear_slots(layer)) {}
  std::vector<float>& of(NormPlace p) { return norms[static_cast<size_t>(p)]; }
  std::vector<float>& bias_of(NormPlace p) { return norm_biases[static_cast<size_t>(p)]; }
};

// What a backward pass computes on the way; kept from call to call, because memory that is new each
// time costs more than some of the work.
struct BackwardScratch {
  std::vector<float> dy, dact, dgate, dx, dmlp, dout, dqkv;
  std::vector<float> x, dexpert;  // of one expert's tokens
};

// The float matrices that the forward pass multiplied by.
struct BlockMatrices {
  std::vector<std::span<const float>> linears;  // by slot: (n, k)
  std::span<const float> router;                // (experts, hidden)
};

// `tape`: of one forward pass of whole sequences, each slice from position 0. dh (rows, hidden):
// dL/d of the block's output becomes dL/d of its input.
void block_backward(const DecoderConfig& config, const Block& block, const BlockMatrices& weights,
                    const Positions& positions, std::span<const Slice> slices,
                    const BlockTape& tape, std::vector<float>& dh, BlockGradient& gradient,
                    BackwardScratch& scratch);

}  // namespace nibble
