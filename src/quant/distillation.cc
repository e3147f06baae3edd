#include "quant/distillation.h"

#include <algorithm>
#include <cmath>

#include "base/log.h"
#include "quant/block_tuning.h"
#include "quant/python_random.h"
#include "train/distiller.h"

namespace nibble {
namespace {

constexpr int64_t kBatch = 2;  // windows a step: more steps beat surer ones
constexpr int64_t kMostHeldBack = 16;
constexpr int64_t kWarmUpShare = 20;  // the rate rises over a 20th of the steps, then falls to 0
// In codes, relative, and as they are. Larger ones flip codes at random faster than their gradients
// can tell which should flip.
constexpr LearningRates kCodes = {.0007f, .0003f, .0003f};
constexpr LearningRates kScales = {0, .001f, .0003f};

LearningRates at_step(const LearningRates& r, int64_t step, int64_t steps) {
  auto rise =
      static_cast<float>(step + 1) / static_cast<float>(std::max<int64_t>(1, steps / kWarmUpShare));
  float share = std::min(1.f, rise) * (1 - static_cast<float>(step) / static_cast<float>(steps));
  return {r.codes * share, r.scales * share, r.vectors * share};
}

// Pointers to windows in shuffled rounds: each is seen once before any is seen again.
class Deck {
 public:
  explicit Deck(std::vector<const Distiller::Ids*> windows) : windows_(std::move(windows)) {}
  std::vector<const Distiller::Ids*> draw(int64_t count) {
    std::vector<const Distiller::Ids*> out;
    for (int64_t i = 0; i < count; ++i) {
      if (left_ == 0) shuffle();
      out.push_back(windows_[--left_]);
    }
    return out;
  }

 private:
  void shuffle() {
    left_ = windows_.size();
    for (size_t j = left_; j > 1; --j)
      std::swap(windows_[j - 1], windows_[random_.below(static_cast<uint32_t>(j))]);
  }
  std::vector<const Distiller::Ids*> windows_;
  size_t left_ = 0;
  PythonRandom random_{0};
};

void learn(Distiller& distiller, Deck& deck, const LearningRates& rates, int64_t steps) {
  Progress progress("learning, step", steps);
  double recent = 0;
  for (int64_t step = 0; step < steps; ++step) {
    double loss = distiller.learn(deck.draw(kBatch), at_step(rates, step, steps), step + 1);
    recent = step == 0 ? loss : .9 * recent + .1 * loss;
    progress.step(step + 1, fmt::format("(KL {:.5f})", recent));
  }
}

Status take_over(const Distiller& distiller, const Weights& source,
                 std::vector<QuantizedBlock>& blocks) {
  for (size_t b = 0; b < blocks.size(); ++b) {
    const LearnedBlock& learned = distiller.blocks()[b];
    for (QuantizedLinear& l : blocks[b].linears) {
      l.matrix = learned.matrix(l.spec);
      FloatMatrix w =
          NB_TRY(load_matrix(source, l.spec.module, l.spec.n, l.spec.k, l.matrix.scheme()));
      l.error = relative_error(w, l.matrix, nullptr);
    }
    for (NamedTensor& v : learned.vectors()) blocks[b].replaced.push_back(std::move(v));
  }
  for (NamedTensor& norm : distiller.final_norm())
    blocks.back().replaced.push_back(std::move(norm));
  return {};
}

}  // namespace

int64_t default_steps(int64_t windows) {
  return std::llround(40 * std::sqrt(static_cast<double>(windows)));
}

Result<DistillationReport> distill(const Weights& source, const CalibrationSet& windows,
                                   const DistillationPlan& plan, const Embedding& embedding,
                                   std::vector<QuantizedBlock>& blocks) {
  auto model = std::make_shared<Decoder>(NB_TRY(Decoder::load(source, Activations::kFloat)));
  auto count = static_cast<int64_t>(windows.windows.size());
  DistillationReport report;
  report.steps = plan.steps > 0 ? plan.steps : default_steps(count);
  report.held_back = std::min(kMostHeldBack, count / 8);
  if (report.held_back == 0)
    return fail("{} calibration windows are too few to hold one back for the distillation; give 8",
                count);
  std::vector<const Distiller::Ids*> held_back, learned;
  for (const auto& w : windows.windows)
    (static_cast<int64_t>(held_back.size()) < report.held_back ? held_back : learned).push_back(&w);
  CalibrationOptions own;
  own.windows = report.steps * kBatch / 2 - static_cast<int64_t>(learned.size());
  own.length = static_cast<int64_t>(windows.windows[0].size());
  CalibrationSet written;
  if (own.windows > 0) {
    written = NB_TRY(windows_of_model(*model, windows.windows[0][0], own));
    report.own_windows = own.windows;
    for (const auto& w : written.windows) learned.push_back(&w);
  }
  report.learned_windows = static_cast<int64_t>(learned.size()) - report.own_windows;

  std::vector<BlockCodes> codes;
  for (size_t b = 0; b < blocks.size(); ++b)
    codes.push_back(codes_of(model->config().blocks[b], blocks[b].linears));
  Distiller distiller = NB_TRY(Distiller::create(model, embedding, codes));
  report.before = distiller.divergence(held_back);
  Deck deck(std::move(learned));
  learn(distiller, deck, plan.what == DistillationPlan::What::kCodes ? kCodes : kScales,
        report.steps);
  report.after = distiller.divergence(held_back);
  report.kept = report.after < report.before;
  if (report.kept) NB_OK(take_over(distiller, model->weights(), blocks));
  return report;
}

}  // namespace nibble
