// The last step of `best`: the finished blocks learn together, and what they learned is kept only
// if it helped on windows that they did not learn from.
#pragma once

#include <string>

#include "quant/block_pass.h"
#include "train/learned_block.h"

namespace nibble {

struct DistillationReport {
  int64_t steps = 0, learned_windows = 0, own_windows = 0, held_back = 0;
  double before = 0, after = 0;  // mean KL on the windows held back, nats
  bool kept = false;
};

// Steps for a job of `windows` windows: more text carries more steps, at falling returns.
int64_t default_steps(int64_t windows);

// `source`: the float model's folder. `embedding`: what the quantized model reads ids' rows from.
// Every eighth window, 16 at most, is held back; windows that the model writes itself are added, so
// that no window is seen much more than twice. On success with `kept`, blocks hold the new codes
// and scales, and norms in `replaced`. Deterministic.
Result<DistillationReport> distill(const Weights& source, const CalibrationSet& windows,
                                   const DistillationPlan& plan, const Embedding& embedding,
                                   std::vector<QuantizedBlock>& blocks);

}  // namespace nibble
