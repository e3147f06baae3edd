// What calibration learns about the rows that enter a set of linears.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace nibble {

// H = sum over tokens of x x', (k, k) symmetric; its diagonal over `tokens` is E[x^2]. Products are
// float32 within a window of tokens and summed over windows in float64, in a fixed order, so the
// bits do not depend on the number of threads.
class InputStatistics {
 public:
  // What a method asks for: nothing, the diagonal, all of H, or also the drift from the float
  // model.
  enum class Need : uint8_t { kNothing, kDiagonal, kHessian, kDrift };
  // The sums that statistics consist of; h: (k, k) or of kDiagonal (k), others (k).
  struct Sums {
    int64_t tokens = 0;
    std::vector<double> h, sum, absmax;
  };

  InputStatistics(int64_t k, Need need);
  // Finished statistics of kDiagonal or kHessian.
  InputStatistics(Sums sums, Need need);
  // x: (rows, k).
  void add(const float* x, int64_t rows);
  // The same rows beside those that the float model has there. Only for kDrift.
  void add_drift(const float* x, const float* reference, int64_t rows);

  int64_t cols() const { return k_; }
  int64_t tokens() const { return tokens_; }
  bool has_hessian() const { return need_ >= Need::kHessian; }
  double diagonal(int64_t j) const;
  double absmax(int64_t j) const { return absmax_[static_cast<size_t>(j)]; }
  double mean(int64_t j) const {
    return sum_[static_cast<size_t>(j)] / static_cast<double>(tokens_);
  }
  // (k, k), both triangles filled. Call finish() first.
  const std::vector<double>& hessian() const { return h_; }
  // (k, k): sum over tokens of (reference - x) x'; empty but for kDrift.
  const std::vector<double>& drift() const { return drift_; }
  // Mirrors the triangle. Fails naming the first channel whose inputs were NaN or infinite.
  Status finish(const std::string& layer);
  // What the statistics of x_j / s_j are. s: (k). After finish().
  void divide_inputs(std::span<const float> s);

 private:
  void add_columns(const float* x, int64_t rows);
  int64_t k_, tokens_ = 0;
  Need need_;
  std::vector<double> h_;             // (k, k), or (k) of sums of squares
  std::vector<double> sum_, absmax_;  // (k)
  std::vector<double> drift_;
};

}  // namespace nibble
