#include "train/learned_block.h"

#include <algorithm>

namespace nibble {

LearnedVector::LearnedVector(VectorSpec spec, DType type, float offset,
                             std::span<const float> first)
    : spec_(std::move(spec)),
      type_(type),
      offset_(offset),
      latent_(first.begin(), first.end()),
      steps_(first.size()) {
  for (float& v : latent_) v -= offset_;
}

Result<LearnedVector> LearnedVector::create(const Weights& weights, const NormSpec& spec,
                                            const Norm& norm) {
  VectorSpec stored = spec.weights()[0];
  DType type = NB_TRY(weights.checkpoint().get(stored.name, std::array{stored.size})).dtype;
  float offset = weights.config().norm == NormKind::kRmsPlusOne ? 1 : 0;
  return LearnedVector(std::move(stored), type, offset, norm.weight);
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

Result<LearnedBlock> LearnedBlock::create(
    const Weights& weights, int64_t layer,
    const std::array<const QuantizedMatrix*, kRoles>& matrices) {
  LearnedBlock b;
  b.block_ = NB_TRY(load_block(weights, layer, Activations::kFloat));
  b.gradient_ = std::make_unique<BlockGradient>();
  for (const LinearSpec& spec : block_linears(weights.config(), layer)) {
    auto role = static_cast<size_t>(spec.role);
    std::vector<float>& values = b.values_[role];
    values = NB_TRY(weights.floats(spec.module + ".weight", spec.n, spec.k));
    if (matrices[role]) {
      b.matrices_[role] = std::make_unique<LearnedMatrix>(*matrices[role], values.data());
      b.gradient_->w[role].resize(values.size());
    }
    TensorView view{
        DType::kF32, {spec.n, spec.k}, std::as_bytes(std::span(values)), nullptr, nullptr};
    b.block_.slot(spec) = make_float_linear(view, NB_TRY(weights.bias(spec)));
  }
  for (const NormSpec& spec : block_norms(weights.config(), layer)) {
    if (!spec.weight) continue;
    const Norm& norm = b.block_.norm(spec.place);
    b.gradient_->of(spec.place).resize(norm.weight.size());
    b.norms_[static_cast<size_t>(spec.place)] = NB_TRY(LearnedVector::create(weights, spec, norm));
  }
  b.refresh();
  return b;
}

void LearnedBlock::refresh() {
  for (size_t role = 0; role < kRoles; ++role)
    if (matrices_[role]) matrices_[role]->values(values_[role].data());
}

void LearnedBlock::backward(const DecoderConfig& config, const Positions& positions,
                            std::span<const Slice> slices, const BlockTape& tape,
                            std::vector<float>& dh, BackwardScratch& scratch) {
  BlockMatrices matrices;
  for (size_t role = 0; role < kRoles; ++role) matrices[role] = values_[role];
  block_backward(config, block_, matrices, positions, slices, tape, dh, *gradient_, scratch);
}

void LearnedBlock::learn(const LearningRates& rates, int64_t number) {
  for (size_t role = 0; role < kRoles; ++role) {
    if (!matrices_[role]) continue;
    float codes = rates.codes * 4 / static_cast<float>(matrices_[role]->bits());
    matrices_[role]->learn(gradient_->w[role].data(), {codes, number}, {rates.scales, number});
    std::fill(gradient_->w[role].begin(), gradient_->w[role].end(), 0.f);
  }
  for (size_t place = 0; place < kNormPlaces; ++place) {
    if (!norms_[place]) continue;
    std::vector<float>& gradient = gradient_->norms[place];
    if (rates.norms > 0) {
      norms_[place]->learn(gradient, rates.norms, number);
      norms_[place]->values(block_.norms[place].weight);
    }
    std::fill(gradient.begin(), gradient.end(), 0.f);
  }
  refresh();
}

std::vector<NamedTensor> LearnedBlock::norms() const {
  std::vector<NamedTensor> out;
  for (const auto& norm : norms_)
    if (norm) out.push_back(norm->tensor());
  return out;
}

QuantizedMatrix LearnedBlock::matrix(Role role) const {
  return matrices_[static_cast<size_t>(role)]->finish();
}

}  // namespace nibble
