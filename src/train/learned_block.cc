#include "train/learned_block.h"

#include <algorithm>

namespace nibble {

namespace {

// A block's norms in BlockNorms' order; those that the family lacks are empty.
std::array<std::vector<float>*, 4> norm_vectors(auto& of) {
  return {&of.attention_norm, &of.mlp_norm, &of.query_norm, &of.key_norm};
}
std::array<VectorSpec, 4> norm_specs(const BlockNorms& n) {
  return {n.attention, n.mlp, n.query, n.key};
}

}  // namespace

LearnedVector::LearnedVector(VectorSpec spec, DType type, std::span<const float> first)
    : spec_(std::move(spec)),
      type_(type),
      latent_(first.begin(), first.end()),
      steps_(first.size()) {}

void LearnedVector::learn(std::span<const float> gradient, float rate, int64_t number) {
  steps_.step({rate, number}, 0, latent_.size(), gradient.data(), latent_.data());
}

void LearnedVector::values(std::vector<float>& out) const {
  TensorView stored = tensor().view;
  out.resize(latent_.size());
  to_float(type_, stored.bytes.data(), spec_.size, out.data());
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
    b.block_.slot(spec.role) = make_float_linear(view, NB_TRY(weights.bias(spec)));
  }
  auto weights_of = norm_vectors(b.block_), gradients = norm_vectors(*b.gradient_);
  auto specs = norm_specs(block_norms(weights.config(), layer));
  for (size_t i = 0; i < specs.size(); ++i) {
    if (weights_of[i]->empty()) continue;
    gradients[i]->resize(weights_of[i]->size());
    DType type = NB_TRY(weights.checkpoint().get(specs[i].name, std::array{specs[i].size})).dtype;
    b.norms_.emplace_back(specs[i], type, *weights_of[i]);
  }
  b.refresh();
  return b;
}

void LearnedBlock::refresh() {
  for (size_t role = 0; role < kRoles; ++role)
    if (matrices_[role]) matrices_[role]->values(values_[role].data());
}

void LearnedBlock::backward(const DecoderConfig& config, const Rope& rope,
                            std::span<const Slice> slices, const BlockTape& tape,
                            std::vector<float>& dh, BackwardScratch& scratch) {
  BlockMatrices matrices;
  for (size_t role = 0; role < kRoles; ++role) matrices[role] = values_[role];
  block_backward(config, block_, matrices, rope, slices, tape, dh, *gradient_, scratch);
}

void LearnedBlock::learn(const LearningRates& rates, int64_t number) {
  for (size_t role = 0; role < kRoles; ++role) {
    if (!matrices_[role]) continue;
    float codes = rates.codes * 4 / static_cast<float>(matrices_[role]->bits());
    matrices_[role]->learn(gradient_->w[role].data(), {codes, number}, {rates.scales, number});
    std::fill(gradient_->w[role].begin(), gradient_->w[role].end(), 0.f);
  }
  auto weights = norm_vectors(block_), gradients = norm_vectors(*gradient_);
  size_t at = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (weights[i]->empty()) continue;
    LearnedVector& norm = norms_[at++];
    if (rates.norms > 0) {
      norm.learn(*gradients[i], rates.norms, number);
      norm.values(*weights[i]);
    }
    std::fill(gradients[i]->begin(), gradients[i]->end(), 0.f);
  }
  refresh();
}

std::vector<NamedTensor> LearnedBlock::norms() const {
  std::vector<NamedTensor> out;
  for (const LearnedVector& n : norms_) out.push_back(n.tensor());
  return out;
}

QuantizedMatrix LearnedBlock::matrix(Role role) const {
  return matrices_[static_cast<size_t>(role)]->finish();
}

}  // namespace nibble
