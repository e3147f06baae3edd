// A transformer block whose quantized linears and norms learn.
#pragma once

#include <optional>

#include "train/block_backward.h"
#include "train/learned_matrix.h"

namespace nibble {

// How fast each kind of parameter moves in one step; 0: not at all.
struct LearningRates {
  float codes = 0;   // in units of a code of 4 bits; the coarser codes of fewer bits go faster
  float scales = 0;  // relative
  float norms = 0;
};

// A norm's weight. It runs as its file will hold it, rounded to `type`; what learns is exact.
class LearnedVector {
 public:
  // Of a norm as blocks run it, whose weight is stored in one piece.
  static Result<LearnedVector> create(const Weights& weights, const NormSpec& spec,
                                      const Norm& norm);
  void learn(std::span<const float> gradient, float rate, int64_t number);
  void values(std::vector<float>& out) const;
  NamedTensor tensor() const;

 private:
  LearnedVector(VectorSpec spec, DType type, float offset, std::span<const float> first);
  VectorSpec spec_;
  DType type_;
  float offset_;  // of what runs over what is stored
  std::vector<float> latent_;
  Adam steps_;
};

class LearnedBlock {
 public:
  // `block` as load_block gives it. `matrices`: what is quantized of it, by role; others stay as
  // they are and do not learn.
  static Result<LearnedBlock> create(const Weights& weights, int64_t layer,
                                     const std::array<const QuantizedMatrix*, kRoles>& matrices);

  // What forward passes run on: the values after the last learn().
  const Block& block() const { return block_; }
  void backward(const DecoderConfig& config, const Positions& positions,
                std::span<const Slice> slices, const BlockTape& tape, std::vector<float>& dh,
                BackwardScratch& scratch);
  // One step along the gradients added up since the last one; `number` counts from 1.
  void learn(const LearningRates& rates, int64_t number);
  QuantizedMatrix matrix(Role role) const;
  // The norms' weights as they are now, by the names that checkpoints give them.
  std::vector<NamedTensor> norms() const;

 private:
  void refresh();

  Block block_;
  std::array<std::unique_ptr<LearnedMatrix>, kRoles> matrices_;
  // What the linears multiply by, (n, k) each; the block's linears look at this memory.
  std::array<std::vector<float>, kRoles> values_;
  std::unique_ptr<BlockGradient> gradient_;
  std::array<std::optional<LearnedVector>, kNormPlaces> norms_;
};

}  // namespace nibble
