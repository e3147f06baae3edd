// From logits to the next token: the options and their order are those of Hugging Face's logits
// processors (transformers, generation/logits_process.py).
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "base/result.h"

namespace nibble {

struct SamplingOptions {
  double temperature = 0.8;  // 0: always the most likely token
  int64_t top_k = 0;         // only the k most likely tokens; 0: all
  double top_p = 1;          // only the smallest set of most likely tokens that reaches p
  double min_p = 0;          // only tokens at least min_p times as likely as the most likely one
  double repetition_penalty = 1;  // > 1 makes tokens that already stand in the text less likely
  uint64_t seed = 0;
};

// An error for values outside their meaning (NaN included).
Status check_sampling(const SamplingOptions& options);

// The same logits and seed give the same tokens on every platform: the generator is the standard's
// mt19937_64, everything behind it our own. Equal logits rank by lower id first.
class Sampler {
 public:
  explicit Sampler(const SamplingOptions& options) : options_(options), random_(options.seed) {}

  // The next token. logits: (vocab), overwritten. history: prompt and text so far, ids below vocab.
  // An error where no logit is a number.
  Result<int32_t> next(std::span<float> logits, std::span<const int32_t> history);

 private:
  struct Candidate {
    float logit;
    int32_t id;
    double weight;  // not yet normalized
  };
  static bool before(const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
  }

  void penalize(std::span<float> logits, std::span<const int32_t> history);
  void keep_top_k();
  void weigh(float top);
  void keep_top_p();
  void keep_min_p();
  int32_t draw();

  SamplingOptions options_;
  std::mt19937_64 random_;
  std::vector<Candidate> candidates_;
  std::vector<bool> seen_;
};

}  // namespace nibble
