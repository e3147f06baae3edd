// Quantizes a model block by block while the calibration windows pass through it.
#pragma once

#include <string>
#include <vector>

#include "model/block.h"
#include "quant/calibration.h"
#include "quant/recipe.h"
#include "quant/statistics_store.h"
#include "quant/window_flows.h"

namespace nibble {

struct QuantizedLinear {
  LinearSpec spec;
  QuantizedMatrix matrix;
  // Relative squared error: of the layer's output on the calibration tokens, tr(E H E') / tr(W H
  // W'), where the method gathered H and the codes are still those; else of the weights, |E|^2 /
  // |W|^2.
  double error = 0;
  // Of a sparse method in this run: what GPTQ's dense codes have in the same bytes.
  std::optional<double> dense_error = {};
};

struct QuantizedBlock {
  std::vector<QuantizedLinear> linears;
  // Tensors beside the codes: norms and biases that transforms or learning changed, which take the
  // place of the source's, and what only integer inputs need (input_scale, outlier_columns).
  std::vector<NamedTensor> replaced;
  std::vector<std::string> notes;
};

// True-sequential: the linears of a stage share the statistics of inputs that have passed every
// quantized linear before them; those of one method are quantized together, and the block's
// quantized output feeds the next block. Only one block's weights and one stage's statistics are in
// memory.
class BlockPass {
 public:
  // `embedding`: what the quantized model reads its ids' rows from. `windows` may be empty for
  // methods that need no calibration, and where `statistics` of the float model take their place.
  // `folder`: where windows wait on disk, or empty: they wait in memory.
  static Result<BlockPass> create(const Weights& weights, const Embedding& embedding,
                                  const Plan& plan, const MethodOptions& options,
                                  const CalibrationSet& windows, const Preparation& preparation,
                                  std::shared_ptr<const StatisticsSource> statistics = nullptr,
                                  const std::string& folder = "");

  Result<QuantizedBlock> quantize(int64_t layer);
  // Takes the windows through a block that an earlier run has quantized.
  Status replay(int64_t layer, const QuantizedBlock& done);

 private:
  // `replaced` as QuantizedBlock's: norms are taken from there.
  Result<Block> open_block(int64_t layer, const std::vector<NamedTensor>& replaced);
  // The same block as a float, with the windows that go through the float model about to enter it;
  // nothing where no method compares with those.
  Result<std::optional<Block>> open_reference(int64_t layer);
  Result<std::optional<FloatBlock>> transform(Block& block, QuantizedBlock& out);
  // Of the inputs that these linears share; null where nothing needs them, and of experts that no
  // token has reached.
  Result<std::unique_ptr<InputStatistics>> gather(int64_t layer,
                                                  const std::vector<LinearSpec>& specs) const;
  // `floats`: the block's changed floats, or null.
  Status quantize_stage(Stage stage, Block& block, FloatBlock* floats, QuantizedBlock& out);
  // Linears that share an input.
  Status quantize_group(const std::vector<LinearSpec>& group, Block& block, FloatBlock* floats,
                        QuantizedBlock& out);
  // Those of them that the plan gives to `planned`, by `method`.
  Status quantize_linears(const Method& planned, const Method& method,
                          const std::vector<LinearSpec>& group, const InputStatistics* statistics,
                          Block& block, FloatBlock* floats, QuantizedBlock& out);
  // Of a linear whose codes are `q`: the bias it keeps, and its part of `out.replaced`.
  Result<std::vector<float>> finish_linear(const LinearSpec& spec, const Method& method,
                                           const FloatMatrix& w, const QuantizedMatrix& q,
                                           const InputStatistics* statistics, FloatBlock* floats,
                                           QuantizedBlock& out);
  // Lets the block's linears learn from the float block's output, and takes the windows through it
  // anew.
  Status tune(Block& block, QuantizedBlock& out);
  void add_input_scales(const std::vector<LinearSpec>& specs, QuantizedBlock& out) const;

  const Weights* weights_ = nullptr;
  const Plan* plan_ = nullptr;
  MethodOptions options_;
  Preparation preparation_;
  std::shared_ptr<const StatisticsSource> statistics_;
  bool drift_ = false;  // statistics take the difference from the float model's inputs too
  WindowFlows windows_;
  WindowFlows reference_;  // the same windows through the float blocks
};

// The stored weight as floats: refuses NaN, infinity, and ranges whose scale would not fit the
// scheme's scale type. Gives mapped pages back.
Result<FloatMatrix> load_matrix(const Weights& weights, const std::string& module, int64_t n,
                                int64_t k, const Scheme& scheme);

// Refuses what load_matrix refuses. `folder` names the model in errors.
Status check_values(const FloatMatrix& m, const std::string& folder);

// See QuantizedLinear::error. `statistics` may be null.
double relative_error(const FloatMatrix& w, const QuantizedMatrix& q,
                      const InputStatistics* statistics);

}  // namespace nibble
