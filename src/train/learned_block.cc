#include "train/learned_block.h"

#include <algorithm>

namespace nibble {
namespace {

void clear(std::vector<float>& v) { std::fill(v.begin(), v.end(), 0.f); }

}  // namespace

Result<LearnedBlock> LearnedBlock::create(const Weights& weights, int64_t layer,
                                          const BlockCodes& codes) {
  const DecoderConfig& c = weights.config();
  LearnedBlock b;
  b.block_ = NB_TRY(load_block(weights, layer, Activations::kFloat));
  b.gradient_ = std::make_unique<BlockGradient>(b.block_.layer);
  b.matrices_.linears.resize(linear_slots(b.block_.layer));
  if (b.block_.router) {
    MatrixSpec spec = nibble::router(c, layer);
    b.router_ = NB_TRY(weights.floats(spec.module + ".weight", spec.n, spec.k));
    b.matrices_.router = b.router_;
  }
  for (const LinearSpec& spec : block_linears(c, layer)) {
    size_t slot = linear_slot(spec);
    auto linear = std::make_unique<LearnedLinear>();
    linear->spec = spec;
    linear->values = NB_TRY(weights.floats(spec.module + ".weight", spec.n, spec.k));
    linear->bias_values = NB_TRY(weights.bias(spec));
    b.matrices_.linears[slot] = linear->values;
    if (codes[slot]) {
      linear->matrix = std::make_unique<LearnedMatrix>(*codes[slot], linear->values.data());
      b.gradient_->w[slot].resize(linear->values.size());
      if (spec.bias) {
        linear->bias = NB_TRY(
            LearnedVector::create(weights, {spec.module + ".bias", spec.n}, linear->bias_values));
        b.gradient_->bias[slot].resize(linear->bias_values.size());
      }
    }
    b.linears_.push_back(std::move(linear));
  }
  for (const NormSpec& spec : block_norms(c, layer)) {
    if (!spec.weight) continue;
    const Norm& norm = b.block_.norm(spec.place);
    b.gradient_->of(spec.place).resize(norm.weight.size());
    if (spec.place != NormPlace::kQuery && spec.place != NormPlace::kKey)
      b.gradient_->bias_of(spec.place).resize(norm.bias.size());
    b.norms_[static_cast<size_t>(spec.place)] = NB_TRY(LearnedNorm::create(weights, spec, norm));
  }
  b.refresh();
  return b;
}

void LearnedBlock::refresh() {
  for (auto& l : linears_) {
    if (l->matrix) l->matrix->values(l->values.data());
    TensorView view{
        DType::kF32, {l->spec.n, l->spec.k}, std::as_bytes(std::span(l->values)), nullptr, nullptr};
    block_.slot(l->spec) = make_float_linear(view, l->bias_values);
  }
}

void LearnedBlock::backward(const DecoderConfig& config, const Positions& positions,
                            std::span<const Slice> slices, const BlockTape& tape,
                            std::vector<float>& dh, BackwardScratch& scratch) {
  block_backward(config, block_, matrices_, positions, slices, tape, dh, *gradient_, scratch);
}

void LearnedBlock::learn(const LearningRates& rates, int64_t number) {
  for (auto& l : linears_) {
    if (!l->matrix) continue;
    size_t slot = linear_slot(l->spec);
    float codes = rates.codes * 4 / static_cast<float>(l->matrix->bits());
    l->matrix->learn(gradient_->w[slot].data(), {codes, number}, {rates.scales, number});
    if (l->bias && rates.vectors > 0) {
      l->bias->learn(gradient_->bias[slot], rates.vectors, number);
      l->bias->values(l->bias_values);
    }
    clear(gradient_->w[slot]);
    clear(gradient_->bias[slot]);
  }
  for (size_t place = 0; place < kNormPlaces; ++place) {
    if (norms_[place] && rates.vectors > 0)
      norms_[place]->learn(gradient_->norms[place], gradient_->norm_biases[place], rates.vectors,
                           number, block_.norms[place]);
    clear(gradient_->norms[place]);
    clear(gradient_->norm_biases[place]);
  }
  refresh();
}

std::vector<NamedTensor> LearnedBlock::vectors() const {
  std::vector<NamedTensor> out;
  for (const auto& norm : norms_)
    if (norm) norm->append_to(out);
  for (const auto& l : linears_)
    if (l->bias) out.push_back(l->bias->tensor());
  return out;
}

QuantizedMatrix LearnedBlock::matrix(const LinearSpec& spec) const {
  for (const auto& l : linears_)
    if (linear_slot(l->spec) == linear_slot(spec)) return l->matrix->finish();
  broken_promise(__FILE__, __LINE__, spec.module);
}

}  // namespace nibble
