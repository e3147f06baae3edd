#include "eval/compare.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/log.h"
#include "base/threads.h"

namespace nibble {
namespace {

// Logits held at once for one model: 64 M floats, so a large vocabulary takes fewer windows a pass.
constexpr int64_t kLogitBudget = int64_t{1} << 26;
constexpr int64_t kPassTokens = 2048;

void run_model(const Decoder& model, std::span<const Window> windows, std::vector<float>& logits) {
  std::vector<std::span<const int32_t>> ids;
  for (const Window& w : windows) ids.emplace_back(w.ids);
  WindowBatch batch(model, ids);
  model.forward(batch.ids, batch.slices, Decoder::Rows::kAll, logits);
}

// One scored position: where its logits lie, which token came next, where its figures go.
struct Position {
  int64_t row;
  int32_t next;
  size_t out;
};

}  // namespace

double log_normalizer(const float* logits, int64_t n) {
  float top = *std::max_element(logits, logits + n);
  double total = 0;
  for (int64_t i = 0; i < n; ++i) total += std::exp(static_cast<double>(logits[i] - top));
  return top + std::log(total);
}

double divergence(const float* p, double p_norm, const float* q, double q_norm, int64_t n) {
  double total = 0;
  for (int64_t i = 0; i < n; ++i) {
    double lp = p[i] - p_norm;
    if (lp > -80) total += std::exp(lp) * (lp - (q[i] - q_norm));
  }
  return total;
}

Result<TokenScores> score_logits(const LogitSource& candidate, int64_t vocab,
                                 const Decoder* reference, const std::vector<Window>& windows) {
  TokenScores scores;
  size_t total = 0;
  for (const Window& w : windows) total += w.ids.size() - 1 - static_cast<size_t>(w.first_scored);
  scores.nll.resize(total);
  if (reference) {
    scores.reference_nll.resize(total);
    scores.kl.resize(total);
    scores.agree.resize(total);
  }
  auto length = static_cast<int64_t>(windows[0].ids.size());
  auto per_pass = static_cast<size_t>(
      std::max<int64_t>(1, std::min(kLogitBudget / (length * vocab), kPassTokens / length)));
  std::vector<float> logits, reference_logits;
  Progress progress("window", static_cast<int64_t>(windows.size()));
  size_t out = 0;
  for (size_t at = 0; at < windows.size(); at += per_pass) {
    auto pass = std::span(windows).subspan(at, std::min(per_pass, windows.size() - at));
    NB_OK(candidate(pass, logits));
    if (reference) run_model(*reference, pass, reference_logits);
    std::vector<Position> positions;
    int64_t row = 0;
    for (const Window& w : pass) {
      for (int64_t p = w.first_scored; p + 1 < static_cast<int64_t>(w.ids.size()); ++p)
        positions.push_back({row + p, w.ids[static_cast<size_t>(p + 1)], out++});
      row += static_cast<int64_t>(w.ids.size());
    }
    parallel_for(static_cast<int64_t>(positions.size()), [&](int64_t i) {
      const Position& p = positions[static_cast<size_t>(i)];
      const float* q = logits.data() + p.row * vocab;
      double q_norm = log_normalizer(q, vocab);
      scores.nll[p.out] = q_norm - q[p.next];
      if (!reference) return;
      const float* f = reference_logits.data() + p.row * vocab;
      double f_norm = log_normalizer(f, vocab);
      scores.reference_nll[p.out] = f_norm - f[p.next];
      scores.kl[p.out] = divergence(f, f_norm, q, q_norm, vocab);
      scores.agree[p.out] =
          std::max_element(q, q + vocab) - q == std::max_element(f, f + vocab) - f;
    });
    progress.step(static_cast<int64_t>(at + pass.size()));
  }
  return scores;
}

TokenScores score_windows(const Decoder& candidate, const Decoder* reference,
                          const std::vector<Window>& windows) {
  auto run = [&](std::span<const Window> pass, std::vector<float>& logits) -> Status {
    run_model(candidate, pass, logits);
    return {};
  };
  return score_logits(run, candidate.config().vocab, reference, windows).value();
}

Comparison summarize(const TokenScores& s) {
  auto mean = [](const auto& v) {
    return std::accumulate(v.begin(), v.end(), 0.0) / static_cast<double>(v.size());
  };
  Comparison c;
  c.perplexity = std::exp(mean(s.nll));
  if (s.reference_nll.empty()) return c;
  c.reference_perplexity = std::exp(mean(s.reference_nll));
  std::vector<double> difference(s.nll.size());
  for (size_t i = 0; i < difference.size(); ++i) difference[i] = s.nll[i] - s.reference_nll[i];
  double d = mean(difference), squares = 0;
  for (double x : difference) squares += (x - d) * (x - d);
  auto n = static_cast<double>(difference.size());
  double half = n > 1 ? 1.96 * std::sqrt(squares / (n - 1) / n) : 0;
  c.ratio = std::exp(d);
  c.ratio_low = std::exp(d - half);
  c.ratio_high = std::exp(d + half);
  c.kl_mean = mean(s.kl);
  std::vector<double> sorted = s.kl;
  std::sort(sorted.begin(), sorted.end());
  c.kl_max = sorted.back();
  double at = .99 * (n - 1);
  auto below = static_cast<size_t>(at);
  c.kl_p99 = sorted[below];
  if (below + 1 < sorted.size())
    c.kl_p99 += (at - static_cast<double>(below)) * (sorted[below + 1] - sorted[below]);
  c.top1 = mean(s.agree);
  return c;
}

}  // namespace nibble
