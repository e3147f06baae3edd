#include "train/learned_norm.h"

namespace nibble {

LearnedVector::LearnedVector(VectorSpec spec, DType type, float offset,
                             std::span<const float> values)
    : spec_(std::move(spec)),
      type_(type),
      offset_(offset),
      latent_(values.begin(), values.end()),
      steps_(values.size()) {
  for (float& v : latent_) v -= offset_;
}

Result<LearnedVector> LearnedVector::create(const Weights& weights, VectorSpec spec,
                                            std::span<const float> values, float offset) {
  DType type = NB_TRY(weights.checkpoint().get(spec.name, std::array{spec.size})).dtype;
  return LearnedVector(std::move(spec), type, offset, values);
}

void LearnedVector::learn(std::span<const float> gradient, float rate, int64_t number) {
  steps_.step({rate, number}, 0, latent_.size(), gradient.data(), latent_.data());
}

void LearnedVector::values(std::vector<float>& out) const {
  TensorView stored = tensor().view;
  out.resize(latent_.size());
  to_float(type_, stored.bytes.data(), spec_.size, out.data());
  for (float& v : out) v += offset_;
}

NamedTensor LearnedVector::tensor() const {
  return {spec_.name, own_floats(type_, {spec_.size}, latent_)};
}

Result<LearnedNorm> LearnedNorm::create(const Weights& weights, const NormSpec& spec,
                                        const Norm& norm) {
  float offset = weights.config().norm == NormKind::kRmsPlusOne ? 1 : 0;
  LearnedNorm out(NB_TRY(LearnedVector::create(weights, spec.weights()[0], norm.weight, offset)));
  if (spec.bias) out.bias_ = NB_TRY(LearnedVector::create(weights, spec.biases()[0], norm.bias));
  return out;
}

void LearnedNorm::learn(std::span<const float> dweight, std::span<const float> dbias, float rate,
                        int64_t number, Norm& norm) {
  weight_.learn(dweight, rate, number);
  weight_.values(norm.weight);
  if (!bias_ || dbias.empty()) return;
  bias_->learn(dbias, rate, number);
  bias_->values(norm.bias);
}

void LearnedNorm::append_to(std::vector<NamedTensor>& out) const {
  out.push_back(weight_.tensor());
  if (bias_) out.push_back(bias_->tensor());
}

}  // namespace nibble
