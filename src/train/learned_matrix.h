// A quantized matrix whose codes and scales learn by gradient, on the grid it was given.
#pragma once

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

// W = (round(clamp(u)) - zero) * scale, u (n, k) in units of codes; the rounding passes gradients
// straight through (Bengio et al., arXiv 1308.3432; learned rounding: Nagel et al., arXiv
// 2004.10568). A scale is its first value times a learned ratio, rounded to the scheme's type.
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
  float scale(int64_t row, int64_t group) const;
  Scheme scheme_;
  int64_t n_, k_, group_, groups_;
  std::vector<float> u_, first_scale_, ratio_;  // (n, k), (n, groups) twice
  std::vector<uint8_t> zeros_;                  // (n, groups)
  Adam u_steps_, ratio_steps_;
};

}  // namespace nibble
