// What quantizing cost: the candidate's next-token distributions against the float model's.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "eval/protocol.h"
#include "model/decoder.h"

namespace nibble {

// log sum exp of n logits, summed in float64.
double log_normalizer(const float* logits, int64_t n);
// KL(p || q) in nats, in float64, of two rows of n logits whose normalizers are given.
double divergence(const float* p, double p_norm, const float* q, double q_norm, int64_t n);

// Per scored token, in text order.
struct TokenScores {
  std::vector<double> nll;            // of the candidate, nats
  std::vector<double> reference_nll;  // of the float model; empty without one, as are the two below
  std::vector<double> kl;             // KL(float || candidate), nats
  std::vector<uint8_t> agree;  // 1 where both have the same likeliest token (ties: lowest id)
};

// Runs both models over the windows; `reference` may be null. Every id is within both vocabularies
// and every window within both contexts (the caller has checked).
TokenScores score_windows(const Decoder& candidate, const Decoder* reference,
                          const std::vector<Window>& windows);

// Whatever else computes a candidate's logits: of whole windows, (all their tokens, vocab).
using LogitSource = std::function<Status(std::span<const Window>, std::vector<float>& logits)>;
// The same of these; both models have `vocab` tokens.
Result<TokenScores> score_logits(const LogitSource& candidate, int64_t vocab,
                                 const Decoder* reference, const std::vector<Window>& windows);

struct Comparison {
  double perplexity = 0, reference_perplexity = 0;
  double ratio = 0, ratio_low = 0,
         ratio_high = 0;  // perplexity ratio with its paired 95 % interval
  double kl_mean = 0, kl_p99 = 0, kl_max = 0;
  double top1 = 0;  // share of tokens on which the likeliest next token agrees
};

// Quantiles interpolate linearly between order statistics, as torch.quantile.
Comparison summarize(const TokenScores& scores);

}  // namespace nibble
