// A transformer block whose quantized linears, norms and biases learn.
#pragma once

#include <optional>

#include "train/block_backward.h"
#include "train/learned_matrix.h"
#include "train/learned_norm.h"

namespace nibble {

// How fast each kind of parameter moves in one step; 0: not at all.
struct LearningRates {
  float codes = 0;    // in units of a code of 4 bits; the coarser codes of fewer bits go faster
  float scales = 0;   // relative
  float vectors = 0;  // of norms and biases
};

// The quantized matrices of a block by linear_slot, null where there is none.
using BlockCodes = std::vector<const QuantizedMatrix*>;

class LearnedBlock {
 public:
  // `codes`: what is quantized of the block; others stay as they are and do not learn.
  static Result<LearnedBlock> create(const Weights& weights, int64_t layer,
                                     const BlockCodes& codes);

  // What forward passes run on: the values after the last learn().
  const Block& block() const { return block_; }
  void backward(const DecoderConfig& config, const Positions& positions,
                std::span<const Slice> slices, const BlockTape& tape, std::vector<float>& dh,
                BackwardScratch& scratch);
  // One step along the gradients added up since the last one; `number` counts from 1.
  void learn(const LearningRates& rates, int64_t number);
  QuantizedMatrix matrix(const LinearSpec& spec) const;
  // Weights and biases of norms, biases of the quantized linears, as they are now, by the names
  // that checkpoints give them.
  std::vector<NamedTensor> vectors() const;

 private:
  struct LearnedLinear {
    LinearSpec spec;
    std::vector<float> values;  // what it multiplies by, (n, k); the block looks at this memory
    std::unique_ptr<LearnedMatrix> matrix;  // null: float
    std::optional<LearnedVector> bias;
    std::vector<float> bias_values;
  };
  void refresh();

  Block block_;
  std::vector<std::unique_ptr<LearnedLinear>> linears_;
  std::vector<float> router_;  // (experts, hidden)
  BlockMatrices matrices_;     // views of those
  std::unique_ptr<BlockGradient> gradient_;
  std::array<std::optional<LearnedNorm>, kNormPlaces> norms_;
};

}  // namespace nibble
