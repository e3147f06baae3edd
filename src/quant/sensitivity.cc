#include "quant/sensitivity.h"

#include <algorithm>
#include <cmath>

#include "base/checked.h"
#include "base/log.h"
#include "base/threads.h"
#include "model/decoder.h"
#include "quant/block_pass.h"

namespace nibble {
namespace {

constexpr int64_t kFlowTokens = 2048;  // tokens that pass the blocks at once
constexpr int64_t kHeadRows = 64;      // rows whose logits are held at once

using Ids = std::vector<std::vector<int32_t>>;

// One row of KL(p || q) from logits, in float64.
double divergence(const float* p, const float* q, int64_t n) {
  auto normalizer = [n](const float* logits) {
    float top = *std::max_element(logits, logits + n);
    double total = 0;
    for (int64_t i = 0; i < n; ++i) total += std::exp(static_cast<double>(logits[i] - top));
    return top + std::log(total);
  };
  double p_norm = normalizer(p), q_norm = normalizer(q), total = 0;
  for (int64_t i = 0; i < n; ++i) {
    double lp = p[i] - p_norm;
    if (lp > -80) total += std::exp(lp) * (lp - (q[i] - q_norm));
  }
  return total;
}

// Windows on their way through the model, with caches of their own.
struct Stream {
  std::vector<std::vector<int32_t>> ids;  // of each flow
  std::vector<KvCache> caches;            // shared by the flows, which pass one after another
  std::vector<Flow> flows;

  Stream(const DecoderConfig& c, const Ids& windows, int64_t longest) {
    auto per_flow = static_cast<size_t>(std::max<int64_t>(1, kFlowTokens / longest));
    for (size_t i = 0; i < per_flow; ++i)
      caches.emplace_back(c.layers, c.kv_heads, c.head_dim, longest);
    for (size_t at = 0; at < windows.size(); at += per_flow) {
      Flow flow;
      std::vector<int32_t> together;
      for (size_t i = at; i < std::min(windows.size(), at + per_flow); ++i) {
        flow.slices.push_back({&caches[i - at], 0, static_cast<int64_t>(windows[i].size())});
        together.insert(together.end(), windows[i].begin(), windows[i].end());
      }
      flow.rows = static_cast<int64_t>(together.size());
      flows.push_back(std::move(flow));
      ids.push_back(std::move(together));
    }
  }
  Stream(const Stream&) = delete;  // slices point into caches

  void embed(const Embedding& embedding) {
    for (size_t i = 0; i < flows.size(); ++i) embedding.embed(ids[i], flows[i].h);
  }
};

class Measurement {
 public:
  Measurement(const Weights& weights, const SensitivityOptions& options, const SplitWindows& split,
              int64_t longest)
      : weights_(weights),
        config_(weights.config()),
        options_(options),
        rope_(config_.rope, config_.head_dim, longest),
        fit_(config_, split.fit, longest),
        held_(config_, split.held, longest) {}

  Result<std::vector<MeasuredItem>> run();

 private:
  Status open();
  void pass_block(const Block& block, Flow& flow);
  // Mean KL of the held-back windows, whose states stand before block `from`.
  double measure(size_t from, const Linear& head);
  Status measure_stage(Stage stage, Block& block);
  Status measure_outer(const std::string& module, bool embedding);
  void step();

  const Weights& weights_;
  const DecoderConfig& config_;
  const SensitivityOptions& options_;
  Rope rope_;
  Stream fit_, held_;
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

void Measurement::pass_block(const Block& block, Flow& flow) {
  enter_block(config_, block, flow);
  for (Stage stage : kStages) advance(stage, config_, block, rope_, flow);
}

double Measurement::measure(size_t from, const Linear& head) {
  double total = 0;
  int64_t rows = 0, vocab = config_.vocab;
  for (size_t f = 0; f < held_.flows.size(); ++f) {
    Flow& flow = held_.flows[f];
    flow.h = entry_[f];
    for (size_t b = from; b < blocks_.size(); ++b) pass_block(blocks_[b], flow);
    norm_rows(config_, flow.h.data(), flow.rows, final_norm_.data(), flow.h.data());
    if (truth_.size() == f) {
      truth_.push_back(flow.h);
      continue;
    }
    std::vector<float> p, q;
    std::vector<double> kl(kHeadRows);
    for (int64_t r = 0; r < flow.rows; r += kHeadRows) {
      int64_t count = std::min(kHeadRows, flow.rows - r);
      p.resize(static_cast<size_t>(count * vocab));
      q.resize(p.size());
      LinearInput true_states(truth_[f].data() + r * config_.hidden, count, config_.hidden);
      LinearInput states(flow.h.data() + r * config_.hidden, count, config_.hidden);
      head_->run(true_states, p.data(), vocab);
      head.run(states, q.data(), vocab);
      parallel_for(count, [&](int64_t i) {
        kl[static_cast<size_t>(i)] = divergence(p.data() + i * vocab, q.data() + i * vocab, vocab);
      });
      for (int64_t i = 0; i < count; ++i) total += kl[static_cast<size_t>(i)];
    }
    rows += flow.rows;
  }
  return rows > 0 ? total / static_cast<double>(rows) : 0;
}

Status Measurement::open() {
  for (int64_t layer = 0; layer < config_.layers; ++layer)
    blocks_.push_back(NB_TRY(load_block(weights_, layer, Activations::kFloat)));
  head_ = NB_TRY(weights_.head(Activations::kFloat));
  final_norm_ = NB_TRY(weights_.vector({kFinalNormName, config_.hidden}));
  Embedding embedding = NB_TRY(weights_.embedding());
  fit_.embed(embedding);
  held_.embed(embedding);
  for (const Flow& flow : held_.flows) entry_.push_back(flow.h);
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
  for (const Flow& flow : fit_.flows) statistics.add(flow.x.data(), flow.rows);
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
    if (embedding) {
      held_.embed(Embedding(q));
      for (size_t f = 0; f < entry_.size(); ++f) entry_[f] = held_.flows[f].h;
    }
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
    for (Flow& flow : fit_.flows) enter_block(config_, block, flow);
    for (Stage stage : kStages) {
      NB_OK(measure_stage(stage, block));
      for (Flow& flow : fit_.flows) advance(stage, config_, block, rope_, flow);
    }
    for (KvCache& cache : fit_.caches) cache.drop(block.index);
    for (size_t f = 0; f < entry_.size(); ++f) {
      Flow& flow = held_.flows[f];
      flow.h = std::move(entry_[f]);
      pass_block(block, flow);
      entry_[f] = flow.h;
    }
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
  int64_t longest = 0;
  for (const auto& w : windows.windows) longest = std::max(longest, static_cast<int64_t>(w.size()));
  SplitWindows split = split_windows(windows);
  return Measurement(weights, options, split, longest).run();
}

}  // namespace nibble
