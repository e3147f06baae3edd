#include "quant/block_pass.h"

#include <algorithm>
#include <cmath>

#include "quant/block_tuning.h"
#include "quant/outlier_columns.h"
#include "quant/sparse_report.h"
#include "quant/transforms/float_block.h"

namespace nibble {

Result<BlockPass> BlockPass::create(const Weights& weights, const Embedding& embedding,
                                    const Plan& plan, const MethodOptions& options,
                                    const CalibrationSet& windows, const Preparation& preparation,
                                    std::shared_ptr<const StatisticsSource> statistics,
                                    const std::string& folder) {
  BlockPass pass;
  pass.weights_ = &weights;
  pass.plan_ = &plan;
  pass.options_ = options;
  pass.preparation_ = preparation;
  pass.statistics_ = std::move(statistics);
  auto need = std::max(plan.need(), preparation.need());
  if (need == InputStatistics::Need::kNothing || pass.statistics_) return pass;
  auto flows = [&](bool restarts) {
    return WindowFlows::create(weights.config(), embedding, windows, {folder, restarts});
  };
  pass.windows_ = NB_TRY(flows(plan.tunes_blocks()));
  // Transforms change what a block reads, so nothing can be compared with the float model's inputs.
  pass.drift_ = need == InputStatistics::Need::kDrift ||
                (plan.takes_drift() && !preparation.changes_blocks());
  if (pass.drift_ || plan.tunes_blocks()) pass.reference_ = NB_TRY(flows(false));
  return pass;
}

Result<Block> BlockPass::open_block(int64_t layer, const std::vector<NamedTensor>& replaced) {
  Block block = NB_TRY(load_block(*weights_, layer, Activations::kFloat));
  take_norms(weights_->config(), replaced, block);
  windows_.enter(block);
  return block;
}

Result<std::optional<Block>> BlockPass::open_reference(int64_t layer) {
  if (reference_.empty()) return std::nullopt;
  Block block = NB_TRY(load_block(*weights_, layer, Activations::kFloat));
  reference_.enter(block);
  return block;
}

// The block's transforms see the inputs of its float linears, behind quantized blocks.
Result<std::optional<FloatBlock>> BlockPass::transform(Block& block, QuantizedBlock& out) {
  if (!preparation_.changes_blocks()) return std::nullopt;
  const DecoderConfig& c = weights_->config();
  FloatBlock floats = NB_TRY(load_float_block(*weights_, block.index, *plan_));
  for (int64_t k : {c.hidden, c.q_dim(), c.hidden, c.mlp_of(block.index)})
    floats.inputs.emplace_back(k, preparation_.need());
  for (int64_t i = 0; i < windows_.count(); ++i)
    gather_inputs(c, block, windows_.positions(), windows_.flow(i), floats);
  for (const LinearSpec& spec : floats.specs) NB_OK(floats.input(spec.stage).finish(spec.module));
  for (const Transform* t : preparation_.transforms)
    if (t->block) NB_OK(t->block(c, floats, preparation_.options));
  for (const FloatMatrix& m : floats.matrices)
    NB_OK(check_values(m, weights_->checkpoint().folder()));
  floats.inputs.clear();
  out.replaced = NB_TRY(changed_floats(*weights_, *plan_, floats));
  install(floats, block);
  windows_.enter(block);
  return floats;
}

Result<QuantizedBlock> BlockPass::quantize(int64_t layer) {
  Block block = NB_TRY(open_block(layer, {}));
  std::optional<Block> reference = NB_TRY(open_reference(layer));
  QuantizedBlock out;
  std::optional<FloatBlock> floats = NB_TRY(transform(block, out));
  for (Stage stage : kStages) {
    NB_OK(quantize_stage(stage, block, floats ? &*floats : nullptr, out));
    windows_.advance(stage, block);
    if (reference) reference_.advance(stage, *reference);
  }
  if (plan_->tunes_blocks()) NB_OK(tune(block, out));
  windows_.leave(block);
  if (reference) reference_.leave(*reference);
  return out;
}

Status BlockPass::tune(Block& block, QuantizedBlock& out) {
  std::vector<BlockSample> samples;
  for (int64_t i = 0; i < windows_.count(); ++i)
    samples.push_back({windows_.lengths(i), windows_.start(i), reference_.h(i)});
  TuningReport report =
      NB_TRY(tune_block(*weights_, block.index, windows_.positions(), samples, out.linears));
  out.notes.push_back(
      fmt::format("block {}: squared error of its output on windows held back "
                  "{:.3g} -> {:.3g}, {}",
                  block.index, report.before, report.after, report.kept ? "kept" : "not kept"));
  if (!report.kept) return {};
  for (const QuantizedLinear& l : out.linears)
    block.slot(l.spec) = make_dequantized_linear(l.matrix, NB_TRY(weights_->bias(l.spec)));
  windows_.restart(block);
  for (Stage stage : kStages) windows_.advance(stage, block);
  return {};
}

Status BlockPass::replay(int64_t layer, const QuantizedBlock& done) {
  if (windows_.empty()) return {};
  std::optional<Block> reference = NB_TRY(open_reference(layer));
  Block block = NB_TRY(open_block(layer, done.replaced));
  auto bias_of = [&](const LinearSpec& spec) -> Result<std::vector<float>> {
    if (auto bias = find_floats(done.replaced, spec.module + ".bias")) return *bias;
    return weights_->bias(spec);
  };
  for (const QuantizedLinear& l : done.linears)
    block.slot(l.spec) = make_dequantized_linear(l.matrix, NB_TRY(bias_of(l.spec)));
  for (const LinearSpec& spec : block_linears(weights_->config(), layer))
    for (const NamedTensor& t : done.replaced)
      if (t.name == spec.module + ".weight")
        block.slot(spec) = make_float_linear(t.view, NB_TRY(bias_of(spec)));
  for (Stage stage : kStages) {
    windows_.advance(stage, block);
    if (reference) reference_.advance(stage, *reference);
  }
  windows_.leave(block);
  if (reference) reference_.leave(*reference);
  return {};
}

// One scale for all linears of a group: they read the same input.
void BlockPass::add_input_scales(const std::vector<LinearSpec>& specs, QuantizedBlock& out) const {
  std::vector<float> gathered;
  auto each = [&](const auto& body) {
    for (int64_t i = 0; i < windows_.count(); ++i) {
      InputRows rows = windows_.input(i, specs[0], gathered);
      body(std::span(rows.x, static_cast<size_t>(rows.count * specs[0].k)));
      windows_.rest(i);
    }
  };
  float largest = 0;
  each([&](std::span<const float> x) {
    for (float v : x) largest = std::max(largest, std::fabs(v));
  });
  MagnitudeHistogram seen(largest);
  each([&](std::span<const float> x) { seen.add(x); });
  float range = choose_range(seen, *preparation_.ranges), scale = range > 0 ? range / 127 : 1;
  for (const LinearSpec& spec : specs)
    out.replaced.push_back(
        {spec.module + kInputScale, own_floats(DType::kF32, {1}, std::span(&scale, 1))});
}

Result<std::unique_ptr<InputStatistics>> BlockPass::gather(
    int64_t layer, const std::vector<LinearSpec>& specs) const {
  auto need = std::max(plan_->need(specs), preparation_.stage_need());
  if (need == InputStatistics::Need::kNothing) return nullptr;
  const LinearSpec& first = specs[0];
  bool expert = first.expert >= 0;
  if (statistics_) {
    if (expert && !NB_TRY(statistics_->reached(layer, first))) return nullptr;
    return std::make_unique<InputStatistics>(NB_TRY(statistics_->load(layer, first)));
  }
  // The float model sends other tokens to an expert than the quantized one: nothing to compare.
  if (expert) need = std::min(need, InputStatistics::Need::kHessian);
  bool drift = !expert && (need == InputStatistics::Need::kDrift ||
                           (drift_ && need == InputStatistics::Need::kHessian));
  if (drift) need = InputStatistics::Need::kDrift;
  auto out = std::make_unique<InputStatistics>(windows_.statistics(first, need));
  if (expert && out->tokens() == 0) return nullptr;
  for (int64_t i = 0; drift && i < windows_.count(); ++i) {
    out->add_drift(windows_.x(i).data(), reference_.x(i).data(), windows_.rows(i));
    windows_.rest(i);
    reference_.rest(i);
  }
  NB_OK(out->finish(first.module));
  return out;
}

Status BlockPass::quantize_stage(Stage stage, Block& block, FloatBlock* floats,
                                 QuantizedBlock& out) {
  std::vector<LinearSpec> planned;
  for (const LinearSpec& spec : block_linears(weights_->config(), block.index))
    if (plan_->of(spec.module).scheme) planned.push_back(spec);
  for (const std::vector<LinearSpec>& group : input_groups(planned, stage))
    NB_OK(quantize_group(group, block, floats, out));
  return {};
}

Status BlockPass::quantize_group(const std::vector<LinearSpec>& group, Block& block,
                                 FloatBlock* floats, QuantizedBlock& out) {
  std::vector<const Method*> methods;
  for (const LinearSpec& spec : group)
    if (const Method* m = plan_->of(spec.module).method;
        std::find(methods.begin(), methods.end(), m) == methods.end())
      methods.push_back(m);
  std::unique_ptr<InputStatistics> statistics = NB_TRY(gather(block.index, group));
  if (preparation_.ranges) add_input_scales(group, out);
  for (const Method* method : methods) {
    const Method* used = method;
    if (!statistics && method->need != InputStatistics::Need::kNothing) {
      used = NB_TRY(find_method("rtn"));
      out.notes.push_back(
          fmt::format("block {}, expert {}: no calibration token reached {}; rounded to nearest",
                      block.index, group[0].expert, group[0].module));
    }
    NB_OK(quantize_linears(*method, *used, group, statistics.get(), block, floats, out));
  }
  return {};
}

Status BlockPass::quantize_linears(const Method& planned, const Method& method,
                                   const std::vector<LinearSpec>& group,
                                   const InputStatistics* statistics, Block& block,
                                   FloatBlock* floats, QuantizedBlock& out) {
  std::vector<LinearSpec> specs;
  std::vector<FloatMatrix> matrices;
  for (const LinearSpec& spec : group)
    if (const ModuleChoice& choice = plan_->of(spec.module); choice.method == &planned) {
      specs.push_back(spec);
      matrices.push_back(
          floats ? std::move(floats->matrix(spec))
                 : NB_TRY(load_matrix(*weights_, spec.module, spec.n, spec.k, *choice.scheme)));
    }
  MethodResult result = NB_TRY(method.quantize(matrices, statistics, options_));
  out.notes.insert(out.notes.end(), result.notes.begin(), result.notes.end());
  std::vector<double> errors, dense;
  for (size_t i = 0; i < specs.size(); ++i)
    errors.push_back(relative_error(matrices[i], result.matrices[i], statistics));
  if (method.sparse) dense = NB_TRY(dense_errors(matrices, result.matrices, *statistics, options_));
  for (size_t i = 0; i < specs.size(); ++i) {
    QuantizedMatrix& q = result.matrices[i];
    std::vector<float> bias =
        NB_TRY(finish_linear(specs[i], method, matrices[i], q, statistics, floats, out));
    matrices[i].w = {};
    block.slot(specs[i]) = make_dequantized_linear(q, std::move(bias));
    out.linears.push_back({specs[i], std::move(q), errors[i]});
    if (method.sparse) out.linears.back().dense_error = dense[i];
  }
  return {};
}

Result<std::vector<float>> BlockPass::finish_linear(const LinearSpec& spec, const Method& method,
                                                    const FloatMatrix& w, const QuantizedMatrix& q,
                                                    const InputStatistics* statistics,
                                                    FloatBlock* floats, QuantizedBlock& out) {
  if (method.int8_threshold > 0) {
    DType type = NB_TRY(weights_->stored_type(spec.module));
    for (NamedTensor& t : outlier_columns(w, *statistics, method.int8_threshold, type))
      out.replaced.push_back(std::move(t));
  }
  std::vector<float> stored = NB_TRY(weights_->bias(spec)),
                     bias = floats ? floats->bias(spec) : stored;
  for (const Transform* t : preparation_.transforms)
    if (t->bias && !bias.empty()) t->bias(w, q, *statistics, bias);
  if (bias != stored)
    out.replaced.push_back({spec.module + ".bias", own_floats(DType::kF32, {spec.n}, bias)});
  return bias;
}

}  // namespace nibble
