#include "quant/block_tuning.h"

#include <algorithm>

#include "quant/python_random.h"
#include "train/learned_block.h"

namespace nibble {
namespace {

constexpr int64_t kSteps = 120;
// All steps together carry a code a quarter of the way to the next.
constexpr LearningRates kRates = {.004f, .0005f, 0};

// One sample on its way through the block.
class Pass {
 public:
  Pass(const DecoderConfig& c, const Positions& positions) : c_(c), positions_(positions) {}

  // Sum of squared errors; with `learned`, gradients of their mean are added to it.
  double run(const Block& block, const BlockSample& sample, LearnedBlock* learned) {
    std::vector<KvCache> caches;
    for (int64_t length : sample.lengths)
      caches.emplace_back(c_.layers, c_.kv_heads, c_.head_dim, length);
    Flow& flow = flow_;
    flow.slices.clear();
    for (size_t i = 0; i < caches.size(); ++i)
      flow.slices.push_back({&caches[i], 0, sample.lengths[i]});
    flow.rows = static_cast<int64_t>(sample.input.size()) / c_.hidden;
    flow.h.assign(sample.input.begin(), sample.input.end());
    flow.tape = learned ? &tape_ : nullptr;
    enter_block(c_, block, flow);
    for (Stage stage : kStages) advance(stage, c_, block, positions_, flow);
    double total = 0;
    auto share = 2 / static_cast<float>(flow.h.size());
    for (size_t i = 0; i < flow.h.size(); ++i) {
      float e = flow.h[i] - sample.target[i];
      total += static_cast<double>(e) * e;
      flow.h[i] = e * share;
    }
    if (learned) learned->backward(c_, positions_, flow.slices, tape_, flow.h, scratch_);
    return total;
  }
  double mean(const Block& block, std::span<const BlockSample* const> samples) {
    double total = 0, count = 0;
    for (const BlockSample* s : samples) {
      total += run(block, *s, nullptr);
      count += static_cast<double>(s->input.size());
    }
    return total / count;
  }

 private:
  const DecoderConfig& c_;
  const Positions& positions_;
  // Of one sample, kept for the next.
  Flow flow_;
  BlockTape tape_;
  BackwardScratch scratch_;
};

}  // namespace

BlockCodes codes_of(const LayerConfig& layer, const std::vector<QuantizedLinear>& linears) {
  BlockCodes out(linear_slots(layer));
  for (const QuantizedLinear& l : linears) out[linear_slot(l.spec)] = &l.matrix;
  return out;
}

Result<TuningReport> tune_block(const Weights& weights, int64_t layer, const Positions& positions,
                                const std::vector<BlockSample>& samples,
                                std::vector<QuantizedLinear>& linears) {
  BlockCodes codes = codes_of(weights.config().blocks[static_cast<size_t>(layer)], linears);
  LearnedBlock learned = NB_TRY(LearnedBlock::create(weights, layer, codes));
  std::vector<const BlockSample*> held_back, seen;
  for (size_t i = 0; i < samples.size(); ++i)
    (samples.size() > 1 && i % 8 == 0 ? held_back : seen).push_back(&samples[i]);
  if (held_back.empty()) held_back = seen;
  Pass pass(weights.config(), positions);
  TuningReport report;
  report.before = pass.mean(learned.block(), held_back);
  PythonRandom random(0);
  for (int64_t step = 0; step < kSteps; ++step) {
    const BlockSample* sample = seen[random.below(static_cast<uint32_t>(seen.size()))];
    pass.run(learned.block(), *sample, &learned);
    float left = 1 - static_cast<float>(step) / kSteps;
    learned.learn({kRates.codes * left, kRates.scales * left, 0}, step + 1);
  }
  report.after = pass.mean(learned.block(), held_back);
  report.kept = report.after < report.before;
  if (!report.kept) return report;
  for (QuantizedLinear& l : linears) {
    l.matrix = learned.matrix(l.spec);
    FloatMatrix w =
        NB_TRY(load_matrix(weights, l.spec.module, l.spec.n, l.spec.k, l.matrix.scheme()));
    l.error = relative_error(w, l.matrix, nullptr);
  }
  return report;
}

}  // namespace nibble
