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
  auto learned = [&](const std::vector<VectorSpec>& parts, std::span<const float> values,
                     float offset) -> Result<std::vector<LearnedVector>> {
    std::vector<LearnedVector> out;
    for (const VectorSpec& part : parts) {
      auto size = static_cast<size_t>(part.size);
      out.push_back(NB_TRY(LearnedVector::create(weights, part, values.first(size), offset)));
      values = values.subspan(size);
    }
    return out;
  };
  LearnedNorm out;
  float offset = weights.config().norm == NormKind::kRmsPlusOne ? 1 : 0;
  out.weights_ = NB_TRY(learned(spec.weights(), norm.weight, offset));
  out.biases_ = NB_TRY(learned(spec.biases(), norm.bias, 0));
  return out;
}

void LearnedNorm::learn(std::span<const float> dweight, std::span<const float> dbias, float rate,
                        int64_t number, Norm& norm) {
  auto step = [&](std::vector<LearnedVector>& parts, std::span<const float> gradient,
                  std::vector<float>& out) {
    if (gradient.empty()) return;
    out.clear();
    std::vector<float> values;
    for (LearnedVector& part : parts) {
      part.learn(gradient.subspan(out.size()), rate, number);
      part.values(values);
      out.insert(out.end(), values.begin(), values.end());
    }
  };
  step(weights_, dweight, norm.weight);
  step(biases_, dbias, norm.bias);
}

void LearnedNorm::append_to(std::vector<NamedTensor>& out) const {
  for (const auto* parts : {&weights_, &biases_})
    for (const LearnedVector& part : *parts) out.push_back(part.tensor());
}

}  // namespace nibble
