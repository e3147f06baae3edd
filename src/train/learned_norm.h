// Vectors of floats that learn: biases, and weights and biases of norms.
#pragma once

#include <span>
#include <vector>

#include "model/weights.h"
#include "train/learned_matrix.h"

namespace nibble {

// A stored vector. It runs as its file will hold it, in the type that it has there; what learns is
// exact.
class LearnedVector {
 public:
  // `values`: as blocks run it, which is what is stored plus `offset`.
  static Result<LearnedVector> create(const Weights& weights, VectorSpec spec,
                                      std::span<const float> values, float offset = 0);
  void learn(std::span<const float> gradient, float rate, int64_t number);
  void values(std::vector<float>& out) const;
  NamedTensor tensor() const;

 private:
  LearnedVector(VectorSpec spec, DType type, float offset, std::span<const float> values);
  VectorSpec spec_;
  DType type_;
  float offset_;
  std::vector<float> latent_;
  Adam steps_;
};

// A norm's weight, and its bias if any, part by part as they are stored.
class LearnedNorm {
 public:
  static Result<LearnedNorm> create(const Weights& weights, const NormSpec& spec, const Norm& norm);
  // dbias: empty where the bias does not learn.
  void learn(std::span<const float> dweight, std::span<const float> dbias, float rate,
             int64_t number, Norm& norm);
  void append_to(std::vector<NamedTensor>& out) const;

 private:
  std::vector<LearnedVector> weights_, biases_;
};

}  // namespace nibble
