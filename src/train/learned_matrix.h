// A quantized matrix whose codes and scales learn by gradient, on the grid it was given.
#pragma once

#include <utility>
#include <vector>

#include "tensor/quantized.h"

namespace nibble {

// Steps of Adam (Kingma and Ba, arXiv 1412.6980) on one array of parameters.
struct AdamStep {
  float rate = 0;
  int64_t number = 1;  // of this step, from 1
};
class Adam {
 public:
  explicit Adam(size_t count) : m_(count), v_(count) {}
  // x[i] -= rate * m / sqrt(v), both corrected for their start. x and gradient: (count) from
  // `begin` of the array on.
  void step(const AdamStep& s, size_t begin, size_t count, const float* gradient, float* x);

 private:
  std::vector<float> m_, v_;
};

// W = (level(round(clamp(u))) - zero) * scale - low, u (n, k) in units of codes; the rounding
// passes gradients straight through (Bengio et al., arXiv 1308.3432; learned rounding: Nagel et
// al., arXiv 2004.10568). A scale is its first value times a learned ratio, rounded to the scheme's
// type; of ggml's blocks d and m are so, and the multiples of them stay.
class LearnedMatrix {
 public:
  // `w` (n, k): the float weights. u starts where w stands on the grid, but inside the code that q
  // already has.
  LearnedMatrix(const QuantizedMatrix& q, const float* w);

  int bits() const { return scheme_.bits; }
  // The values as they are now. w: (n, k).
  void values(float* w) const;
  // One step along dL/dW (n, k).
  void learn(const float* dw, const AdamStep& codes, const AdamStep& scales);
  QuantizedMatrix finish() const;

 private:
  // The row's grids as they are now.
  std::vector<Grid> grids(int64_t row) const;
  // Columns of group g.
  std::pair<int64_t, int64_t> columns(int64_t g) const;
  int code(int64_t i) const;  // that u_[i] rounds to
  Scheme scheme_;
  int64_t n_, k_, group_, groups_;
  int64_t span_, bases_;      // groups that share a number that learns; how many of them in a row
  int kinds_;                 // such numbers: a scale, or d and m
  std::vector<float> u_;      // (n, k)
  std::vector<Grid> first_;   // (n, groups)
  std::vector<float> ratio_;  // (n, bases, kinds)
  Adam u_steps_, ratio_steps_;
};

}  // namespace nibble
