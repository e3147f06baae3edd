#include "quant/block_pass.h"

#include <algorithm>
#include <cmath>

#include "model/decoder.h"
#include "quant/outlier_columns.h"
#include "quant/transforms/float_block.h"

namespace nibble {
namespace {

// Tokens that pass a stage at once: enough that dequantizing a panel is cheap beside multiplying by
// it, few enough that the MLP's scratch of a 1 B model stays near 100 MB.
constexpr int64_t kFlowTokens = 2048;

}  // namespace

BlockPass BlockPass::create(const Weights& weights, const Embedding& embedding, const Plan& plan,
                            const MethodOptions& options, const CalibrationSet& windows,
                            const Preparation& preparation) {
  BlockPass pass;
  pass.weights_ = &weights;
  pass.plan_ = &plan;
  pass.options_ = options;
  pass.preparation_ = preparation;
  if (std::max(plan.need(), preparation.need()) == InputStatistics::Need::kNothing) return pass;
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

Result<Block> BlockPass::open_block(int64_t layer, const std::vector<NamedTensor>& replaced) {
  Block block = NB_TRY(load_block(*weights_, layer, Activations::kFloat));
  BlockNorms names = block_norms(weights_->config(), layer);
  if (auto norm = find_floats(replaced, names.attention.name)) block.attention_norm = *norm;
  if (auto norm = find_floats(replaced, names.mlp.name)) block.mlp_norm = *norm;
  enter(block);
  return block;
}

void BlockPass::enter(Block& block) {
  for (Flow& flow : flows_) {
    for (size_t i = 0; i < flow.slices.size(); ++i) flow.slices[i].cache = &caches_[i];
    enter_block(weights_->config(), block, flow);
  }
}

// The block's transforms see the inputs of its float linears, behind quantized blocks.
Result<std::optional<FloatBlock>> BlockPass::transform(Block& block, QuantizedBlock& out) {
  if (!preparation_.changes_blocks()) return std::nullopt;
  const DecoderConfig& c = weights_->config();
  FloatBlock floats = NB_TRY(load_float_block(*weights_, block.index, *plan_));
  for (int64_t k : {c.hidden, c.q_dim(), c.hidden, c.mlp})
    floats.inputs.emplace_back(k, preparation_.need());
  for (const Flow& flow : flows_) gather_inputs(c, block, *rope_, flow, floats);
  for (const LinearSpec& spec : floats.specs) NB_OK(floats.input(spec.stage).finish(spec.module));
  for (const Transform* t : preparation_.transforms)
    if (t->block) NB_OK(t->block(c, floats, preparation_.options));
  for (const FloatMatrix& m : floats.matrices)
    NB_OK(check_values(m, weights_->checkpoint().folder()));
  floats.inputs.clear();
  out.replaced = NB_TRY(changed_floats(*weights_, *plan_, floats));
  install(floats, block);
  enter(block);
  return floats;
}

Result<QuantizedBlock> BlockPass::quantize(int64_t layer) {
  Block block = NB_TRY(open_block(layer, {}));
  QuantizedBlock out;
  std::optional<FloatBlock> floats = NB_TRY(transform(block, out));
  for (Stage stage : kStages) {
    NB_OK(quantize_stage(stage, block, floats ? &*floats : nullptr, out));
    for (Flow& flow : flows_) advance(stage, weights_->config(), block, *rope_, flow);
  }
  for (KvCache& cache : caches_) cache.drop(layer);
  return out;
}

Status BlockPass::replay(int64_t layer, const QuantizedBlock& done) {
  if (flows_.empty()) return {};
  Block block = NB_TRY(open_block(layer, done.replaced));
  auto bias_of = [&](const LinearSpec& spec) -> Result<std::vector<float>> {
    if (auto bias = find_floats(done.replaced, spec.module + ".bias")) return *bias;
    return weights_->bias(spec);
  };
  for (const QuantizedLinear& l : done.linears)
    block.slot(l.spec.role) = make_dequantized_linear(l.matrix, NB_TRY(bias_of(l.spec)));
  for (const LinearSpec& spec : block_linears(weights_->config(), layer))
    for (const NamedTensor& t : done.replaced)
      if (t.name == spec.module + ".weight")
        block.slot(spec.role) = make_float_linear(t.view, NB_TRY(bias_of(spec)));
  for (Stage stage : kStages)
    for (Flow& flow : flows_) advance(stage, weights_->config(), block, *rope_, flow);
  for (KvCache& cache : caches_) cache.drop(layer);
  return {};
}

// One scale for all linears of a stage: they read the same input.
void BlockPass::add_input_scales(const std::vector<LinearSpec>& specs, QuantizedBlock& out) const {
  float largest = 0;
  for (const Flow& flow : flows_)
    for (float v : flow.x) largest = std::max(largest, std::fabs(v));
  MagnitudeHistogram seen(largest);
  for (const Flow& flow : flows_) seen.add(flow.x);
  float range = choose_range(seen, *preparation_.ranges), scale = range > 0 ? range / 127 : 1;
  for (const LinearSpec& spec : specs)
    out.replaced.push_back(
        {spec.module + ".input_scale", own_floats(DType::kF32, {1}, std::span(&scale, 1))});
}

Status BlockPass::quantize_stage(Stage stage, Block& block, FloatBlock* floats,
                                 QuantizedBlock& out) {
  std::vector<LinearSpec> specs;
  std::vector<const Method*> methods;
  for (const LinearSpec& spec : block_linears(weights_->config(), block.index))
    if (const ModuleChoice& choice = plan_->of(spec.module); spec.stage == stage && choice.scheme) {
      specs.push_back(spec);
      if (std::find(methods.begin(), methods.end(), choice.method) == methods.end())
        methods.push_back(choice.method);
    }
  if (specs.empty()) return {};
  std::unique_ptr<InputStatistics> statistics;
  auto need = std::max(plan_->need(specs), preparation_.stage_need());
  if (need != InputStatistics::Need::kNothing) {
    statistics = std::make_unique<InputStatistics>(specs[0].k, need);
    for (const Flow& flow : flows_) statistics->add(flow.x.data(), flow.rows);
    NB_OK(statistics->finish(specs[0].module));
  }
  if (preparation_.ranges) add_input_scales(specs, out);
  for (const Method* method : methods)
    NB_OK(quantize_linears(*method, specs, statistics.get(), block, floats, out));
  return {};
}

Status BlockPass::quantize_linears(const Method& method, const std::vector<LinearSpec>& stage,
                                   const InputStatistics* statistics, Block& block,
                                   FloatBlock* floats, QuantizedBlock& out) {
  std::vector<LinearSpec> specs;
  std::vector<FloatMatrix> matrices;
  for (const LinearSpec& spec : stage)
    if (const ModuleChoice& choice = plan_->of(spec.module); choice.method == &method) {
      specs.push_back(spec);
      matrices.push_back(
          floats ? std::move(floats->matrix(spec.role))
                 : NB_TRY(load_matrix(*weights_, spec.module, spec.n, spec.k, *choice.scheme)));
    }
  MethodResult result = NB_TRY(method.quantize(matrices, statistics, options_));
  out.notes.insert(out.notes.end(), result.notes.begin(), result.notes.end());
  for (size_t i = 0; i < specs.size(); ++i) {
    QuantizedMatrix& q = result.matrices[i];
    double error = relative_error(matrices[i], q, statistics);
    std::vector<float> bias =
        NB_TRY(finish_linear(specs[i], method, matrices[i], q, statistics, floats, out));
    matrices[i].w = {};
    block.slot(specs[i].role) = make_dequantized_linear(q, std::move(bias));
    out.linears.push_back({specs[i], std::move(q), error});
  }
  return {};
}

Result<std::vector<float>> BlockPass::finish_linear(const LinearSpec& spec, const Method& method,
                                                    const FloatMatrix& w, const QuantizedMatrix& q,
                                                    const InputStatistics* statistics,
                                                    FloatBlock* floats, QuantizedBlock& out) {
  if (method.int8_threshold > 0) {
    DType type = NB_TRY(weights_->checkpoint().get(spec.module + ".weight")).dtype;
    for (NamedTensor& t : outlier_columns(w, *statistics, method.int8_threshold, type))
      out.replaced.push_back(std::move(t));
  }
  std::vector<float> stored = NB_TRY(weights_->bias(spec)),
                     bias = floats ? floats->bias(spec.role) : stored;
  for (const Transform* t : preparation_.transforms)
    if (t->bias && !bias.empty()) t->bias(w, q, *statistics, bias);
  if (bias != stored)
    out.replaced.push_back({spec.module + ".bias", own_floats(DType::kF32, {spec.n}, bias)});
  return bias;
}

}  // namespace nibble
