// Learned rounding block by block: codes and scales of one block learn to give the float block's
// output, on inputs that passed the quantized blocks before it. Needs one block's memory, where
// distillation.h needs the model's. Source: AutoRound / SignRound (arXiv 2309.05516), with Adam's
// steps for its sign steps and scales for its clip ranges.
#pragma once

#include "quant/block_pass.h"
#include "train/learned_block.h"

namespace nibble {

// Some whole windows: the residual stream (rows, hidden) as it enters the quantized block, and as
// it leaves the float block of the float model.
struct BlockSample {
  std::vector<int64_t> lengths;  // of the windows; rows are their sum
  std::span<const float> input, target;
};

// What is quantized of a block, as what learns takes it; views of `linears`.
BlockCodes codes_of(const LayerConfig& layer, const std::vector<QuantizedLinear>& linears);

struct TuningReport {
  double before = 0, after = 0;  // mean squared error on the samples held back
  bool kept = false;
};

// Changes the matrices and errors of `linears` if that helped on every eighth sample, which nothing
// was learned from; of fewer than two samples, on those themselves. Deterministic.
Result<TuningReport> tune_block(const Weights& weights, int64_t layer, const Positions& positions,
                                const std::vector<BlockSample>& samples,
                                std::vector<QuantizedLinear>& linears);

}  // namespace nibble
