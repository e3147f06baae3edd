// Trains a quantized model's codes, scales and norms, all blocks together, so that its next-token
// distributions come near the float model's (learned rounding end to end; with frozen codes it is
// the E2E-QP of EfficientQAT, arXiv 2407.11062).
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "model/decoder.h"
#include "train/learned_block.h"

namespace nibble {

class Distiller {
 public:
  using Ids = std::vector<int32_t>;

  // `teacher`: the float model. `embedding`: the quantized model's, which a tied head runs from
  // too; a head that is quantized by itself is taken as float here. `blocks`: what is quantized of
  // each.
  static Result<Distiller> create(std::shared_ptr<const Decoder> teacher,
                                  const Embedding& embedding,
                                  const std::vector<BlockCodes>& blocks);

  // Mean KL(float || quantized) in nats over the tokens of `windows`; learns nothing.
  double divergence(std::span<const Ids* const> windows);
  // The same, and one step of learning from it. Steps count from 1.
  double learn(std::span<const Ids* const> windows, const LearningRates& rates, int64_t number);

  const std::vector<LearnedBlock>& blocks() const { return blocks_; }
  // The final norm's weight and bias as they are now; nothing where the model stores none.
  std::vector<NamedTensor> final_norm() const;
  // Anonymous memory that create and learn take, in bytes.
  static int64_t memory(const DecoderConfig& config);

 private:
  void narrow(std::vector<float>& states) const;
  void widen(std::vector<float>& gradient) const;
  double pass(std::span<const Ids* const> windows, double weight, bool backward);

  std::shared_ptr<const Decoder> teacher_;
  std::shared_ptr<const Positions> positions_;
  Embedding embedding_;
  std::vector<LearnedBlock> blocks_;
  // Of one pass, kept for the next.
  std::vector<BlockTape> tapes_;
  BackwardScratch scratch_;
  Flow flow_;
  std::vector<float> answers_, hidden_, dhidden_, dh_;
  std::optional<LearnedNorm> learned_norm_;
  Norm final_norm_;
  std::vector<float> final_gradient_, final_bias_gradient_, head_, head_bias_;
  std::vector<float> project_out_;  // (embedding_width, hidden) where those differ
  std::vector<float> own_head_;     // where it is not the teacher's
};

}  // namespace nibble
