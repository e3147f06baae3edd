#include "runtime/sampler.h"

#include <algorithm>
#include <cmath>

namespace nibble {

Status check_sampling(const SamplingOptions& o) {
  if (!(o.temperature >= 0) || !std::isfinite(o.temperature))
    return usage("temperature {} should be 0 (greedy) or more", o.temperature);
  if (o.top_k < 0) return usage("top-k {} should be 0 (all tokens) or more", o.top_k);
  if (!(o.top_p > 0 && o.top_p <= 1)) return usage("top-p {} should lie in (0, 1]", o.top_p);
  if (!(o.min_p >= 0 && o.min_p <= 1)) return usage("min-p {} should lie in [0, 1]", o.min_p);
  if (!(o.repetition_penalty > 0) || !std::isfinite(o.repetition_penalty))
    return usage("repetition penalty {} should be positive", o.repetition_penalty);
  return {};
}

// Keskar et al. (arXiv 1909.05858): once for each token that occurs, however often.
void Sampler::penalize(std::span<float> logits, std::span<const int32_t> history) {
  if (options_.repetition_penalty == 1) return;
  seen_.assign(logits.size(), false);
  auto penalty = static_cast<float>(options_.repetition_penalty);
  for (int32_t id : history) {
    auto i = static_cast<size_t>(id);
    if (seen_[i]) continue;
    seen_[i] = true;
    logits[i] = logits[i] < 0 ? logits[i] * penalty : logits[i] / penalty;
  }
}

void Sampler::keep_top_k() {
  auto k = static_cast<size_t>(options_.top_k);
  if (k == 0 || k >= candidates_.size()) return;
  std::partial_sort(candidates_.begin(), candidates_.begin() + options_.top_k, candidates_.end(),
                    before);
  candidates_.resize(k);
}

// Softmax without its denominator. The maximum is taken off before the division, so that no
// temperature overflows.
void Sampler::weigh(float top) {
  for (Candidate& c : candidates_)
    c.weight = std::exp((static_cast<double>(c.logit) - top) / options_.temperature);
}

// Holtzman et al. (arXiv 1904.09751). A heap gives up only as many tokens as are kept.
void Sampler::keep_top_p() {
  if (options_.top_p >= 1) return;
  double total = 0, reached = 0;
  for (const Candidate& c : candidates_) total += c.weight;
  auto later = [](const Candidate& a, const Candidate& b) { return before(b, a); };
  std::make_heap(candidates_.begin(), candidates_.end(), later);
  auto heap_end = candidates_.end();
  while (heap_end != candidates_.begin() && reached < options_.top_p * total) {
    std::pop_heap(candidates_.begin(), heap_end, later);
    reached += (--heap_end)->weight;
  }
  // Popped ones lie at the back, the most likely last.
  candidates_.erase(candidates_.begin(), heap_end);
  std::reverse(candidates_.begin(), candidates_.end());
}

void Sampler::keep_min_p() {
  if (options_.min_p <= 0) return;
  std::erase_if(candidates_, [&](const Candidate& c) { return c.weight < options_.min_p; });
}

int32_t Sampler::draw() {
  double total = 0;
  for (const Candidate& c : candidates_) total += c.weight;
  // 53 random bits make a double in [0, 1) the same way everywhere; std distributions do not.
  double point = static_cast<double>(random_() >> 11) * 0x1p-53 * total;
  for (const Candidate& c : candidates_) {
    point -= c.weight;
    if (point < 0) return c.id;
  }
  return candidates_.back().id;  // rounding left the point at the very end
}

Result<int32_t> Sampler::next(std::span<float> logits, std::span<const int32_t> history) {
  penalize(logits, history);
  int32_t best = -1;
  for (size_t i = 0; i < logits.size(); ++i) {
    bool number = logits[i] > -INFINITY && logits[i] < INFINITY;
    if (number && (best < 0 || logits[i] > logits[static_cast<size_t>(best)]))
      best = static_cast<int32_t>(i);
  }
  if (best < 0)
    return fail("the model's logits are not numbers (NaN or Inf): its weights are damaged");
  if (options_.temperature == 0) return best;
  candidates_.clear();
  for (size_t i = 0; i < logits.size(); ++i)
    if (logits[i] <= logits[static_cast<size_t>(best)])  // leaves out NaN and +Inf
      candidates_.push_back({logits[i], static_cast<int32_t>(i), 0});
  keep_top_k();
  weigh(logits[static_cast<size_t>(best)]);
  keep_top_p();
  keep_min_p();
  return draw();
}

}  // namespace nibble
