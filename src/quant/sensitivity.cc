#include "quant/sensitivity.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/checked.h"
#include "base/log.h"
#include "base/threads.h"
#include "eval/compare.h"
#include "quant/block_pass.h"
#include "quant/window_flows.h"
#include "tensor/ggml_grids.h"

namespace nibble {
namespace {

constexpr int64_t kHeadRows = 64;  // rows whose logits are held at once

// The residual streams of all flows as they stand.
std::vector<std::vector<float>> states(const WindowFlows& windows) {
  std::vector<std::vector<float>> out;
  for (int64_t i = 0; i < windows.count(); ++i) {
    auto h = windows.h(i);
    out.emplace_back(h.begin(), h.end());
  }
  return out;
}

class Measurement {
 public:
  Measurement(const Weights& weights, const SensitivityOptions& options, SplitWindows split)
      : weights_(weights), config_(weights.config()), options_(options), split_(std::move(split)) {}

  Result<std::vector<MeasuredItem>> run();

 private:
  Status open();
  // The held-back windows' states behind the block that they have entered.
  void pass_held(const Block& block);
  // Mean KL of the held-back windows, whose states stand before block `from`.
  double measure(size_t from, const Head& head);
  // Sum of KL over rows of final states. h, truth: (rows, hidden); `head` reads h.
  double divergence_of(const std::vector<float>& h, const std::vector<float>& truth,
                       const Head& head) const;
  std::vector<Scheme> schemes_for(int64_t k) const;
  Status quantize_group(const std::vector<LinearSpec>& group, const Scheme& scheme,
                        std::vector<QuantizedMatrix>& out) const;
  Result<MeasuredOption> measure_option(const std::vector<std::vector<LinearSpec>>& groups,
                                        const Scheme& scheme, Block& block);
  Status extrapolate(const std::vector<std::vector<LinearSpec>>& groups, MeasuredItem& item) const;
  Result<double> rounding_error(const std::vector<LinearSpec>& group, const Scheme& scheme) const;
  Status measure_stage(Stage stage, Block& block);
  Status measure_outer(const std::string& module, bool embedding);
  void step();

  const Weights& weights_;
  const DecoderConfig& config_;
  const SensitivityOptions& options_;
  SplitWindows split_;
  WindowFlows fit_, held_;
  std::vector<Block> blocks_;
  Head head_;
  Norm final_norm_;
  std::vector<std::vector<float>> entry_;  // the held-back flows' states before the block at hand
  std::vector<std::vector<float>> truth_;  // the float model's states before the head
  std::vector<MeasuredItem> items_;
  std::unique_ptr<Progress> progress_;
  int64_t done_ = 0;
};

void Measurement::step() { progress_->step(++done_); }

void Measurement::pass_held(const Block& block) {
  for (Stage stage : kStages) held_.advance(stage, block);
  held_.leave(block);
}

double Measurement::divergence_of(const std::vector<float>& h, const std::vector<float>& truth,
                                  const Head& head) const {
  int64_t vocab = config_.vocab, rows = static_cast<int64_t>(h.size()) / config_.hidden;
  std::vector<float> p, q;
  std::vector<double> kl(kHeadRows);
  double total = 0;
  for (int64_t r = 0; r < rows; r += kHeadRows) {
    int64_t count = std::min(kHeadRows, rows - r);
    p.resize(static_cast<size_t>(count * vocab));
    q.resize(p.size());
    LinearInput true_states(truth.data() + r * config_.hidden, count, config_.hidden);
    LinearInput states(h.data() + r * config_.hidden, count, config_.hidden);
    head_.run(true_states, p.data());
    head.run(states, q.data());
    parallel_for(count, [&](int64_t i) {
      const float *pi = p.data() + i * vocab, *qi = q.data() + i * vocab;
      kl[static_cast<size_t>(i)] =
          divergence(pi, log_normalizer(pi, vocab), qi, log_normalizer(qi, vocab), vocab);
    });
    for (int64_t i = 0; i < count; ++i) total += kl[static_cast<size_t>(i)];
  }
  return total;
}

double Measurement::measure(size_t from, const Head& head) {
  std::vector<std::vector<float>> ends = entry_;
  if (from < blocks_.size()) {
    held_.restart(entry_, blocks_[from]);
    pass_held(blocks_[from]);
    for (size_t b = from + 1; b < blocks_.size(); ++b) {
      held_.enter(blocks_[b]);
      pass_held(blocks_[b]);
    }
    ends = states(held_);
  }
  double total = 0;
  int64_t rows = 0;
  for (size_t f = 0; f < ends.size(); ++f) {
    int64_t count = held_.rows(static_cast<int64_t>(f));
    if (final_norm_) norm_rows(config_, final_norm_, ends[f].data(), count, ends[f].data());
    if (truth_.size() == f)
      truth_.push_back(ends[f]);
    else
      total += divergence_of(ends[f], truth_[f], head);
    rows += count;
  }
  return total / static_cast<double>(rows);
}

Status Measurement::open() {
  for (int64_t layer = 0; layer < config_.layers; ++layer)
    blocks_.push_back(NB_TRY(load_block(weights_, layer, Activations::kFloat)));
  head_ = NB_TRY(weights_.head(Activations::kFloat));
  if (config_.final_norm) final_norm_ = NB_TRY(weights_.norm(final_norm(config_)));
  Embedding embedding = NB_TRY(weights_.embedding());
  fit_ = NB_TRY(WindowFlows::create(config_, embedding, {split_.fit, {}, {}}));
  held_ = NB_TRY(WindowFlows::create(config_, embedding, {split_.held, {}, {}}));
  entry_ = states(held_);
  measure(0, head_);  // sets truth_
  auto outer = static_cast<int64_t>(options_.embedding) + static_cast<int64_t>(options_.head);
  auto parts = config_.layers * static_cast<int64_t>(kStages.size()) + outer;
  progress_ = std::make_unique<Progress>("measurement",
                                         parts * static_cast<int64_t>(options_.schemes.size()));
  return {};
}

// What a rule calls these linears of a block: their module names' last parts where no other linear
// of the block has the same, "qkv" and "gate_up" for those.
std::string rule_names(const std::vector<LinearSpec>& block, Stage stage) {
  auto tail = [](const std::string& module) { return module.substr(module.rfind('.') + 1); };
  std::vector<std::string> names;
  for (const LinearSpec& spec : block) {
    if (spec.stage != stage || spec.expert > 0) continue;
    std::string name = tail(spec.module);
    bool shared = std::any_of(block.begin(), block.end(), [&](const LinearSpec& other) {
      return other.stage != stage && tail(other.module) == name;
    });
    size_t dot = spec.module.rfind('.', spec.module.size() - name.size() - 2);
    names.push_back(shared ? spec.module.substr(dot + 1) : name);
  }
  if (names == std::vector<std::string>{"q_proj", "k_proj", "v_proj"}) return "qkv";
  if (names == std::vector<std::string>{"gate_proj", "up_proj"}) return "gate_up";
  return fmt::format("{}", fmt::join(names, ","));
}

// The options' schemes as rows of k have them; empty: no type has whole blocks in those.
std::vector<Scheme> Measurement::schemes_for(int64_t k) const {
  std::vector<Scheme> out = options_.schemes;
  for (Scheme& scheme : out) {
    if (!scheme.blocks) continue;
    const GgmlType& type = gguf_type_for_row(*scheme.blocks, k);
    if (!ggml_grids(type)) return {};
    scheme = Scheme::of_blocks(type);
  }
  return out;
}

// The quantized matrices of linears that share an input, in their order, and their specs.
Status Measurement::quantize_group(const std::vector<LinearSpec>& group, const Scheme& scheme,
                                   std::vector<QuantizedMatrix>& out) const {
  std::vector<FloatMatrix> matrices;
  for (const LinearSpec& spec : group)
    matrices.push_back(NB_TRY(load_matrix(weights_, spec.module, spec.n, spec.k, scheme)));
  InputStatistics statistics = fit_.statistics(group[0], options_.method->need);
  const Method* method = options_.method;
  if (statistics.tokens() == 0)
    method = NB_TRY(find_method("rtn"));  // an expert that no token has reached
  else
    NB_OK(statistics.finish(group[0].module));
  MethodResult result = NB_TRY(method->quantize(matrices, &statistics, options_.methods));
  for (QuantizedMatrix& q : result.matrices) out.push_back(std::move(q));
  return {};
}

// Runs the model with these linears of the block, and no others, quantized.
Result<MeasuredOption> Measurement::measure_option(
    const std::vector<std::vector<LinearSpec>>& groups, const Scheme& scheme, Block& block) {
  std::vector<LinearSpec> specs;
  std::vector<QuantizedMatrix> matrices;
  for (const auto& group : groups) {
    specs.insert(specs.end(), group.begin(), group.end());
    NB_OK(quantize_group(group, scheme, matrices));
  }
  MeasuredOption option{scheme};
  std::vector<std::unique_ptr<Linear>> floats;
  for (size_t i = 0; i < specs.size(); ++i) {
    option.bytes += matrices[i].stored_bytes();
    floats.push_back(std::move(block.slot(specs[i])));
    block.slot(specs[i]) =
        make_dequantized_linear(std::move(matrices[i]), NB_TRY(weights_.bias(specs[i])));
  }
  option.kl = measure(static_cast<size_t>(block.index), head_);
  for (size_t i = 0; i < specs.size(); ++i) block.slot(specs[i]) = std::move(floats[i]);
  return option;
}

// Sum over outputs and tokens of the squared error, taking the inputs' channels as uncorrelated.
Result<double> Measurement::rounding_error(const std::vector<LinearSpec>& group,
                                           const Scheme& scheme) const {
  InputStatistics inputs = fit_.statistics(group[0], InputStatistics::Need::kDiagonal);
  if (inputs.tokens() == 0) return 0;  // an expert that no token has reached
  NB_OK(inputs.finish(group[0].module));
  const Method* rtn = NB_TRY(find_method("rtn"));
  double total = 0;
  for (const LinearSpec& spec : group) {
    FloatMatrix w = NB_TRY(load_matrix(weights_, spec.module, spec.n, spec.k, scheme));
    MethodResult rounded = NB_TRY(rtn->quantize(std::span(&w, 1), nullptr, options_.methods));
    std::vector<double> rows(static_cast<size_t>(spec.n));
    parallel_for(spec.n, [&](int64_t i) {
      std::vector<float> q(static_cast<size_t>(spec.k));
      rounded.matrices[0].dequantize(i, q.data());
      double& sum = rows[static_cast<size_t>(i)];
      for (int64_t j = 0; j < spec.k; ++j) {
        double e = static_cast<double>(q[static_cast<size_t>(j)]) -
                   static_cast<double>(w.w[static_cast<size_t>(i * spec.k + j)]);
        sum += e * e * inputs.diagonal(j);
      }
    });
    total += std::accumulate(rows.begin(), rows.end(), 0.) * static_cast<double>(inputs.tokens());
  }
  return total;
}

// Near the float model KL is quadratic in the outputs' error, so that it goes with its square.
Status Measurement::extrapolate(const std::vector<std::vector<LinearSpec>>& groups,
                                MeasuredItem& item) const {
  auto error_of = [&](const Scheme& scheme) -> Result<double> {
    double sum = 0;
    for (const auto& group : groups) sum += NB_TRY(rounding_error(group, scheme));
    return sum;
  };
  item.options.at(0).output_error = NB_TRY(error_of(item.options.at(0).scheme));
  const MeasuredOption probe = item.options[0];
  for (const Scheme& scheme : options_.extrapolated) {
    MeasuredOption option{scheme};
    for (const auto& group : groups)
      for (const LinearSpec& spec : group)
        option.bytes += QuantizedMatrix::stored_bytes(scheme, spec.n, spec.k);
    option.output_error = NB_TRY(error_of(scheme));
    if (probe.output_error > 0) option.kl = probe.kl * option.output_error / probe.output_error;
    item.options.push_back(option);
  }
  return {};
}

Status Measurement::measure_stage(Stage stage, Block& block) {
  std::vector<LinearSpec> all = block_linears(config_, block.index);
  auto groups = input_groups(all, stage);
  MeasuredItem item;
  item.layers = {block.index};
  item.names = rule_names(all, stage);
  for (const auto& group : groups)
    for (const LinearSpec& spec : group) item.weights += spec.n * spec.k;
  for (const Scheme& scheme : schemes_for(groups.at(0).at(0).k)) {
    auto same = std::ranges::find(item.options, scheme, &MeasuredOption::scheme);
    if (same != item.options.end())
      item.options.push_back(*same);
    else
      item.options.push_back(NB_TRY(measure_option(groups, scheme, block)));
    step();
  }
  if (item.options.empty()) return {};
  if (!options_.extrapolated.empty()) NB_OK(extrapolate(groups, item));
  items_.push_back(std::move(item));
  return {};
}

// Stands at the very beginning for the embedding, at the very end for the head.
Status Measurement::measure_outer(const std::string& module, bool embedding) {
  MeasuredItem item;
  item.names = embedding ? "embedding" : "head";
  item.weights = config_.vocab * config_.embedding_width;
  item.read_by_token = !embedding || config_.tied_head;
  const Method* rtn = NB_TRY(find_method("rtn"));
  std::vector<Scheme> schemes = schemes_for(config_.embedding_width);
  if (options_.outer) schemes = {*options_.outer};
  if (schemes.empty()) return {};
  FloatMatrix m =
      NB_TRY(load_matrix(weights_, module, config_.vocab, config_.embedding_width, schemes[0]));
  for (const Scheme& scheme : schemes) {
    m.scheme = scheme;
    MethodResult result = NB_TRY(rtn->quantize(std::span(&m, 1), nullptr, options_.methods));
    const QuantizedMatrix& q = result.matrices[0];
    Head head = NB_TRY(weights_.head(q));
    std::vector<std::vector<float>> kept = entry_;
    if (embedding)
      entry_ = states(NB_TRY(
          WindowFlows::create(config_, NB_TRY(weights_.embedding(q)), {split_.held, {}, {}})));
    bool own_head = !embedding || config_.tied_head;
    double kl = measure(embedding ? 0 : blocks_.size(), own_head ? head : head_);
    entry_ = std::move(kept);
    item.options.push_back({scheme, q.stored_bytes(), kl});
    step();
  }
  items_.push_back(std::move(item));
  return {};
}

Result<std::vector<MeasuredItem>> Measurement::run() {
  NB_OK(open());
  if (options_.embedding) NB_OK(measure_outer(embedding_module(config_), true));
  for (Block& block : blocks_) {
    fit_.enter(block);
    for (Stage stage : kStages) {
      NB_OK(measure_stage(stage, block));
      fit_.advance(stage, block);
    }
    fit_.leave(block);
    held_.restart(entry_, block);
    pass_held(block);
    entry_ = states(held_);
  }
  if (options_.head) NB_OK(measure_outer(head_module(config_), false));
  return std::move(items_);
}

}  // namespace

SplitWindows split_windows(const CalibrationSet& set) {
  size_t all = set.windows.size(), held = std::clamp<size_t>(all / 4, 1, 4);
  auto cut = set.windows.end() - static_cast<std::ptrdiff_t>(held);
  if (all == 1) return {set.windows, set.windows};
  return {{set.windows.begin(), cut}, {cut, set.windows.end()}};
}

Result<std::vector<MeasuredItem>> measure_sensitivity(const Weights& weights,
                                                      const SensitivityOptions& options,
                                                      SplitWindows windows) {
  return Measurement(weights, options, std::move(windows)).run();
}

}  // namespace nibble
