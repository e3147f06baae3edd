// The backward pass of one transformer block.
#pragma once

#include <array>
#include <span>
#include <string>
#include <vector>

#include "model/block.h"

namespace nibble {

// Why this family's blocks have no backward pass; empty where they have one.
std::string backward_gap(const DecoderConfig& config);

// dL/dparameter of one block, added up over calls. A vector left empty is not computed.
struct BlockGradient {
  std::array<std::vector<float>, kRoles> w;           // (n, k)
  std::array<std::vector<float>, kNormPlaces> norms;  // of their weights as blocks run them

  std::vector<float>& of(Role r) { return w[static_cast<size_t>(r)]; }
  std::vector<float>& of(NormPlace p) { return norms[static_cast<size_t>(p)]; }
};

// What a backward pass computes on the way; kept from call to call, because memory that is new each
// time costs more than some of the work.
struct BackwardScratch {
  std::vector<float> dy, dact, dgate, dx, dmlp, dout, dqkv;
};

// The float matrices that the forward pass multiplied by, (n, k), by role.
using BlockMatrices = std::array<std::span<const float>, kRoles>;

// `tape`: of one forward pass of whole sequences, each slice from position 0. dh (rows, hidden):
// dL/d of the block's output becomes dL/d of its input.
void block_backward(const DecoderConfig& config, const Block& block, const BlockMatrices& weights,
                    const Positions& positions, std::span<const Slice> slices,
                    const BlockTape& tape, std::vector<float>& dh, BlockGradient& gradient,
                    BackwardScratch& scratch);

}  // namespace nibble
