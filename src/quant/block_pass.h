// Quantizes a model block by block while the calibration windows pass through it.
#pragma once

#include <string>
#include <vector>

#include "model/block.h"
#include "quant/calibration.h"
#include "quant/recipe.h"

namespace nibble {

struct QuantizedLinear {
  LinearSpec spec;
  QuantizedMatrix matrix;
  // Relative squared error: of the layer's output on the calibration tokens, tr(E H E') / tr(W H
  // W'), where the method gathered H and the codes are still those; else of the weights, |E|^2 /
  // |W|^2.
  double error = 0;
};

struct QuantizedBlock {
  std::vector<QuantizedLinear> linears;
  std::vector<NamedTensor> replaced;  // float tensors that take the place of the source's: norms
  std::vector<std::string> notes;
};

// True-sequential: the linears of a stage share the statistics of inputs that have passed every
// quantized linear before them; those of one method are quantized together, and the block's
// quantized output feeds the next block. Only one block's weights and one stage's statistics are in
// memory.
class BlockPass {
 public:
  // `embedding`: what the quantized model reads its ids' rows from. `windows` may be empty for
  // methods that need no calibration.
  static BlockPass create(const Weights& weights, const Embedding& embedding, const Plan& plan,
                          const MethodOptions& options, const CalibrationSet& windows);

  Result<QuantizedBlock> quantize(int64_t layer);
  // Takes the windows through a block that an earlier run has quantized.
  Status replay(int64_t layer, const std::vector<QuantizedLinear>& linears);

 private:
  Result<Block> open_block(int64_t layer);
  Status quantize_stage(Stage stage, Block& block, QuantizedBlock& out);
  // Those of a stage's linears that `method` quantizes.
  Status quantize_linears(const Method& method, const std::vector<LinearSpec>& stage,
                          const InputStatistics* statistics, Block& block, QuantizedBlock& out);

  const Weights* weights_ = nullptr;
  const Plan* plan_ = nullptr;
  MethodOptions options_;
  std::vector<Flow> flows_;
  std::vector<KvCache> caches_;  // shared by the flows, which pass one after another
  std::shared_ptr<Rope> rope_;
};

// The stored weight as floats: refuses NaN, infinity, and ranges whose scale would not fit the
// scheme's scale type. Gives mapped pages back.
Result<FloatMatrix> load_matrix(const Weights& weights, const std::string& module, int64_t n,
                                int64_t k, const Scheme& scheme);

// See QuantizedLinear::error. `statistics` may be null.
double relative_error(const FloatMatrix& w, const QuantizedMatrix& q,
                      const InputStatistics* statistics);

}  // namespace nibble
