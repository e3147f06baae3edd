#include "quant/transforms/float_block.h"

#include "quant/block_pass.h"

namespace nibble {

size_t FloatBlock::index(const LinearSpec& spec) const {
  size_t i = 0;
  while (specs[i].module != spec.module) ++i;
  return i;
}

size_t FloatBlock::index(Role role) const {
  size_t i = 0;
  while (specs[i].role != role || specs[i].expert >= 0) ++i;
  return i;
}

std::vector<Role> FloatBlock::roles(Stage stage) const {
  std::vector<Role> out;
  for (const LinearSpec& spec : specs)
    if (spec.stage == stage && spec.expert < 0) out.push_back(spec.role);
  return out;
}

Result<FloatBlock> load_float_block(const Weights& weights, int64_t layer, const Plan& plan) {
  FloatBlock out;
  out.specs = block_linears(weights.config(), layer);
  for (const LinearSpec& spec : out.specs) {
    Scheme scheme = plan.of(spec.module).scheme.value_or(Scheme{.bits = 8});
    out.matrices.push_back(NB_TRY(load_matrix(weights, spec.module, spec.n, spec.k, scheme)));
    out.biases.push_back(NB_TRY(weights.bias(spec)));
  }
  out.norm_specs = block_norms(weights.config(), layer);
  for (const NormSpec& spec : out.norm_specs) {
    out.norms[static_cast<size_t>(spec.place)] = NB_TRY(weights.norm(spec));
    for (const VectorSpec& v : spec.weights())
      out.norm_type = NB_TRY(weights.checkpoint().get(v.name)).dtype;
  }
  return out;
}

void gather_inputs(const DecoderConfig& config, const Block& block, const Positions& positions,
                   Flow flow, FloatBlock& floats) {
  for (Stage stage : kStages) {
    InputStatistics& input = floats.input(stage);
    bool experts = floats.has_experts() && stage >= Stage::kGateUp;
    if (!experts) input.add(flow.x.data(), flow.rows);
    advance(stage, config, block, positions, flow);
  }
}

void take_norms(const DecoderConfig& c, const std::vector<NamedTensor>& tensors, Block& block) {
  for (const NormSpec& spec : block_norms(c, block.index)) {
    Norm& norm = block.norm(spec.place);
    auto take = [&](const std::vector<VectorSpec>& parts, float more, std::vector<float>& out) {
      for (size_t i = 0; i < parts.size(); ++i)
        if (auto stored = find_floats(tensors, parts[i].name))
          for (size_t j = 0; j < stored->size(); ++j)
            out[i * stored->size() + j] = (*stored)[j] + more;
    };
    take(spec.weights(), c.norm == NormKind::kRmsPlusOne ? 1 : 0, norm.weight);
    take(spec.biases(), 0, norm.bias);
  }
}

void install(const FloatBlock& floats, Block& block) {
  block.norms = floats.norms;
  for (size_t i = 0; i < floats.specs.size(); ++i) {
    const FloatMatrix& m = floats.matrices[i];
    block.slot(floats.specs[i]) =
        make_float_linear(own_floats(DType::kF32, {m.n, m.k}, m.w), floats.biases[i]);
  }
}

// Row-major (n, k) as (k, n).
static std::vector<float> turned(const std::vector<float>& w, int64_t n, int64_t k) {
  std::vector<float> out(w.size());
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < k; ++j)
      out[static_cast<size_t>(j * n + i)] = w[static_cast<size_t>(i * k + j)];
  return out;
}

Result<std::vector<NamedTensor>> changed_floats(const Weights& weights, const Plan& plan,
                                                FloatBlock& floats) {
  std::vector<NamedTensor> out;
  for (const NormSpec& spec : floats.norm_specs) {
    const Norm& norm = floats.norms[static_cast<size_t>(spec.place)];
    Norm stored = NB_TRY(weights.norm(spec));
    if (stored.weight == norm.weight && stored.bias == norm.bias) continue;
    for (NamedTensor& t : NB_TRY(weights.norm_tensors(spec, norm))) out.push_back(std::move(t));
  }
  bool conv1d = weights.config().conv1d;
  for (size_t i = 0; i < floats.specs.size(); ++i) {
    const LinearSpec& spec = floats.specs[i];
    if (plan.of(spec.module).scheme) continue;
    std::string name = spec.module + ".weight";
    DType type = NB_TRY(weights.stored_type(spec.module));
    std::vector<float>& w = floats.matrices[i].w;
    TensorView stored = own_floats(type, {spec.n, spec.k}, w);
    to_float(type, stored.bytes.data(), spec.n * spec.k, w.data());
    if (conv1d) stored = own_floats(type, {spec.k, spec.n}, turned(w, spec.n, spec.k));
    out.push_back({name, std::move(stored)});
    if (spec.bias)
      out.push_back({spec.module + ".bias", own_floats(DType::kF32, {spec.n}, floats.biases[i])});
  }
  return out;
}

std::optional<std::vector<float>> find_floats(const std::vector<NamedTensor>& tensors,
                                              const std::string& name) {
  for (const NamedTensor& t : tensors)
    if (t.name == name) {
      std::vector<float> out(static_cast<size_t>(t.view.elements()));
      to_float(t.view.dtype, t.view.bytes.data(), t.view.elements(), out.data());
      return out;
    }
  return std::nullopt;
}

}  // namespace nibble
