#include "quant/sensitivity.h"

#include <algorithm>
#include <cmath>

#include "base/checked.h"
#include "base/log.h"
#include "base/threads.h"
#include "eval/compare.h"
#include "quant/block_pass.h"
#include "quant/window_flows.h"

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
  double measure(size_t from, const Linear& head);
  // Sum of KL over rows of final states. h, truth: (rows, hidden); `head` reads h.
  double divergence_of(const std::vector<float>& h, const std::vector<float>& truth,
                       const Linear& head) const;
  Status measure_stage(Stage stage, Block& block);
  Status measure_outer(const std::string& module, bool embedding);
  void step();

  const Weights& weights_;
  const DecoderConfig& config_;
  const SensitivityOptions& options_;
  SplitWindows split_;
  WindowFlows fit_, held_;
  std::vector<Block> blocks_;
  std::unique_ptr<Linear> head_;
  std::vector<float> final_norm_;
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
                                  const Linear& head) const {
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
    head_->run(true_states, p.data(), vocab);
    head.run(states, q.data(), vocab);
    parallel_for(count, [&](int64_t i) {
      const float *pi = p.data() + i * vocab, *qi = q.data() + i * vocab;
      kl[static_cast<size_t>(i)] =
          divergence(pi, log_normalizer(pi, vocab), qi, log_normalizer(qi, vocab), vocab);
    });
    for (int64_t i = 0; i < count; ++i) total += kl[static_cast<size_t>(i)];
  }
  return total;
}

double Measurement::measure(size_t from, const Linear& head) {
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
    norm_rows(config_, ends[f].data(), count, final_norm_.data(), ends[f].data());
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
  final_norm_ = NB_TRY(weights_.vector({kFinalNormName, config_.hidden}));
  Embedding embedding = NB_TRY(weights_.embedding());
  fit_ = NB_TRY(WindowFlows::create(config_, embedding, {split_.fit, {}, {}}));
  held_ = NB_TRY(WindowFlows::create(config_, embedding, {split_.held, {}, {}}));
  entry_ = states(held_);
  measure(0, *head_);  // sets truth_
  auto outer = static_cast<int64_t>(options_.embedding) + static_cast<int64_t>(options_.head);
  auto parts = config_.layers * static_cast<int64_t>(kStages.size()) + outer;
  progress_ = std::make_unique<Progress>("measurement",
                                         parts * static_cast<int64_t>(options_.schemes.size()));
  return {};
}

Status Measurement::measure_stage(Stage stage, Block& block) {
  constexpr const char* kNames[] = {"qkv", "o_proj", "gate_up", "down_proj"};
  MeasuredItem item;
  item.layers = {block.index};
  item.names = kNames[static_cast<size_t>(stage)];
  std::vector<LinearSpec> specs;
  std::vector<FloatMatrix> matrices;
  for (const LinearSpec& spec : block_linears(config_, block.index))
    if (spec.stage == stage) {
      specs.push_back(spec);
      item.weights += spec.n * spec.k;
      matrices.push_back(
          NB_TRY(load_matrix(weights_, spec.module, spec.n, spec.k, options_.schemes[0])));
    }
  InputStatistics statistics(specs[0].k, options_.method->need);
  for (int64_t i = 0; i < fit_.count(); ++i) statistics.add(fit_.x(i).data(), fit_.rows(i));
  NB_OK(statistics.finish(specs[0].module));
  for (const Scheme& scheme : options_.schemes) {
    for (FloatMatrix& m : matrices) m.scheme = scheme;
    MethodResult result =
        NB_TRY(options_.method->quantize(matrices, &statistics, options_.methods));
    MeasuredOption option{scheme};
    std::vector<std::unique_ptr<Linear>> floats;
    for (size_t i = 0; i < specs.size(); ++i) {
      option.bytes += result.matrices[i].stored_bytes();
      floats.push_back(std::move(block.slot(specs[i].role)));
      block.slot(specs[i].role) =
          make_dequantized_linear(std::move(result.matrices[i]), NB_TRY(weights_.bias(specs[i])));
    }
    option.kl = measure(static_cast<size_t>(block.index), *head_);
    for (size_t i = 0; i < specs.size(); ++i) block.slot(specs[i].role) = std::move(floats[i]);
    item.options.push_back(option);
    step();
  }
  items_.push_back(std::move(item));
  return {};
}

// Stands at the very beginning for the embedding, at the very end for the head.
Status Measurement::measure_outer(const std::string& module, bool embedding) {
  MeasuredItem item;
  item.names = embedding ? "embedding" : "head";
  item.weights = config_.vocab * config_.hidden;
  item.read_by_token = !embedding || config_.tied_head;
  const Method* rtn = NB_TRY(find_method("rtn"));
  FloatMatrix m =
      NB_TRY(load_matrix(weights_, module, config_.vocab, config_.hidden, options_.schemes[0]));
  for (const Scheme& scheme : options_.schemes) {
    m.scheme = scheme;
    MethodResult result = NB_TRY(rtn->quantize(std::span(&m, 1), nullptr, options_.methods));
    const QuantizedMatrix& q = result.matrices[0];
    std::unique_ptr<Linear> head = make_dequantized_linear(q, {});
    std::vector<std::vector<float>> kept = entry_;
    if (embedding)
      entry_ = states(NB_TRY(WindowFlows::create(config_, Embedding(q), {split_.held, {}, {}})));
    bool own_head = !embedding || config_.tied_head;
    double kl = measure(embedding ? 0 : blocks_.size(), own_head ? *head : *head_);
    entry_ = std::move(kept);
    item.options.push_back({scheme, q.stored_bytes(), kl});
    step();
  }
  items_.push_back(std::move(item));
  return {};
}

Result<std::vector<MeasuredItem>> Measurement::run() {
  NB_OK(open());
  if (options_.embedding) NB_OK(measure_outer(kEmbeddingModule, true));
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
  if (options_.head) NB_OK(measure_outer(kHeadModule, false));
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
                                                      const CalibrationSet& windows) {
  return Measurement(weights, options, split_windows(windows)).run();
}

}  // namespace nibble
