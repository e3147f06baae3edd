#include "quant/block_pass.h"

#include <algorithm>

#include "model/decoder.h"

namespace nibble {
namespace {

// Tokens that pass a stage at once: enough that dequantizing a panel is cheap beside multiplying by
// it, few enough that the MLP's scratch of a 1 B model stays near 100 MB.
constexpr int64_t kFlowTokens = 2048;

}  // namespace

BlockPass BlockPass::create(const Weights& weights, const Embedding& embedding, const Plan& plan,
                            const MethodOptions& options, const CalibrationSet& windows) {
  BlockPass pass;
  pass.weights_ = &weights;
  pass.plan_ = &plan;
  pass.options_ = options;
  if (plan.need() == InputStatistics::Need::kNothing) return pass;
  const DecoderConfig& c = weights.config();
  int64_t longest = 0;
  for (const auto& w : windows.windows) longest = std::max(longest, static_cast<int64_t>(w.size()));
  int64_t per_flow = std::max<int64_t>(1, kFlowTokens / longest);
  for (int64_t i = 0; i < per_flow; ++i)
    pass.caches_.emplace_back(c.layers, c.kv_heads, c.head_dim, longest);
  pass.rope_ = std::make_shared<Rope>(c.rope, c.head_dim, longest);
  std::vector<int32_t> ids;
  Flow flow;
  auto close = [&] {
    embedding.embed(ids, flow.h);
    flow.rows = static_cast<int64_t>(ids.size());
    pass.flows_.push_back(std::move(flow));
    flow = {};
    ids.clear();
  };
  for (const auto& w : windows.windows) {
    flow.slices.push_back({nullptr, 0, static_cast<int64_t>(w.size())});
    ids.insert(ids.end(), w.begin(), w.end());
    if (static_cast<int64_t>(flow.slices.size()) == per_flow) close();
  }
  if (!ids.empty()) close();
  return pass;
}

Result<Block> BlockPass::open_block(int64_t layer) {
  Block block = NB_TRY(load_block(*weights_, layer, Activations::kFloat));
  for (Flow& flow : flows_) {
    for (size_t i = 0; i < flow.slices.size(); ++i) flow.slices[i].cache = &caches_[i];
    enter_block(weights_->config(), block, flow);
  }
  return block;
}

Result<QuantizedBlock> BlockPass::quantize(int64_t layer) {
  Block block = NB_TRY(open_block(layer));
  QuantizedBlock out;
  for (Stage stage : kStages) {
    NB_OK(quantize_stage(stage, block, out));
    for (Flow& flow : flows_) advance(stage, weights_->config(), block, *rope_, flow);
  }
  for (KvCache& cache : caches_) cache.drop(layer);
  return out;
}

Status BlockPass::replay(int64_t layer, const std::vector<QuantizedLinear>& linears) {
  if (flows_.empty()) return {};
  Block block = NB_TRY(open_block(layer));
  for (const QuantizedLinear& l : linears)
    block.slot(l.spec.role) = make_dequantized_linear(l.matrix, NB_TRY(weights_->bias(l.spec)));
  for (Stage stage : kStages)
    for (Flow& flow : flows_) advance(stage, weights_->config(), block, *rope_, flow);
  for (KvCache& cache : caches_) cache.drop(layer);
  return {};
}

Status BlockPass::quantize_stage(Stage stage, Block& block, QuantizedBlock& out) {
  std::vector<LinearSpec> specs;
  std::vector<const Method*> methods;
  for (const LinearSpec& spec : block_linears(weights_->config(), block.index))
    if (const ModuleChoice& choice = plan_->of(spec.module); spec.stage == stage && choice.scheme) {
      specs.push_back(spec);
      if (std::find(methods.begin(), methods.end(), choice.method) == methods.end())
        methods.push_back(choice.method);
    }
  std::unique_ptr<InputStatistics> statistics;
  if (auto need = plan_->need(specs); need != InputStatistics::Need::kNothing) {
    statistics = std::make_unique<InputStatistics>(specs[0].k, need);
    for (const Flow& flow : flows_) statistics->add(flow.x.data(), flow.rows);
    NB_OK(statistics->finish(specs[0].module));
  }
  for (const Method* method : methods)
    NB_OK(quantize_linears(*method, specs, statistics.get(), block, out));
  return {};
}

Status BlockPass::quantize_linears(const Method& method, const std::vector<LinearSpec>& stage,
                                   const InputStatistics* statistics, Block& block,
                                   QuantizedBlock& out) {
  std::vector<LinearSpec> specs;
  std::vector<FloatMatrix> matrices;
  for (const LinearSpec& spec : stage)
    if (const ModuleChoice& choice = plan_->of(spec.module); choice.method == &method) {
      specs.push_back(spec);
      matrices.push_back(
          NB_TRY(load_matrix(*weights_, spec.module, spec.n, spec.k, *choice.scheme)));
    }
  MethodResult result = NB_TRY(method.quantize(matrices, statistics, options_));
  out.notes.insert(out.notes.end(), result.notes.begin(), result.notes.end());
  for (size_t i = 0; i < specs.size(); ++i) {
    QuantizedMatrix& q = result.matrices[i];
    double error = relative_error(matrices[i], q, statistics);
    matrices[i].w = {};
    block.slot(specs[i].role) = make_dequantized_linear(q, NB_TRY(weights_->bias(specs[i])));
    out.linears.push_back({specs[i], std::move(q), error});
  }
  return {};
}

}  // namespace nibble
