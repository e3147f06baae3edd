// What calibration learns about the rows that enter a set of linears.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace nibble {

// H = sum over tokens of x x', (k, k) symmetric; its diagonal over `tokens` is E[x^2]. Products are
// float32 within a window of tokens and summed over windows in float64, in a fixed order, so the
// bits do not depend on the number of threads.
class InputStatistics {
 public:
  // What a method asks for: nothing, the diagonal, or all of H.
  enum class Need : uint8_t { kNothing, kDiagonal, kHessian };

  InputStatistics(int64_t k, Need need);
  // x: (rows, k).
  void add(const float* x, int64_t rows);

  int64_t cols() const { return k_; }
  int64_t tokens() const { return tokens_; }
  bool has_hessian() const { return need_ == Need::kHessian; }
  double diagonal(int64_t j) const;
  // (k, k), both triangles filled. Call finish() first.
  const std::vector<double>& hessian() const { return h_; }
  // Mirrors the triangle. Fails naming the first channel whose inputs were NaN or infinite.
  Status finish(const std::string& layer);

 private:
  int64_t k_, tokens_ = 0;
  Need need_;
  std::vector<double> h_;  // (k, k), or (k) of sums of squares
};

}  // namespace nibble
