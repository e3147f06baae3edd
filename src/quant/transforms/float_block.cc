#include "quant/transforms/float_block.h"

#include "quant/block_pass.h"

namespace nibble {

Result<FloatBlock> load_float_block(const Weights& weights, int64_t layer, const Plan& plan) {
  FloatBlock out;
  out.specs = block_linears(weights.config(), layer);
  for (const LinearSpec& spec : out.specs) {
    Scheme scheme = plan.of(spec.module).scheme.value_or(Scheme{.bits = 8});
    out.matrices.push_back(NB_TRY(load_matrix(weights, spec.module, spec.n, spec.k, scheme)));
    out.biases.push_back(NB_TRY(weights.bias(spec)));
  }
  out.norm_names = block_norms(weights.config(), layer);
  out.attention_norm = NB_TRY(weights.vector(out.norm_names.attention));
  out.mlp_norm = NB_TRY(weights.vector(out.norm_names.mlp));
  out.norm_type = NB_TRY(weights.checkpoint().get(out.norm_names.attention.name)).dtype;
  return out;
}

void gather_inputs(const DecoderConfig& config, const Block& block, const Rope& rope, Flow flow,
                   FloatBlock& floats) {
  for (Stage stage : kStages) {
    floats.input(stage).add(flow.x.data(), flow.rows);
    advance(stage, config, block, rope, flow);
  }
}

void install(const FloatBlock& floats, Block& block) {
  block.attention_norm = floats.attention_norm;
  block.mlp_norm = floats.mlp_norm;
  for (size_t i = 0; i < floats.specs.size(); ++i) {
    const FloatMatrix& m = floats.matrices[i];
    block.slot(floats.specs[i].role) =
        make_float_linear(own_floats(DType::kF32, {m.n, m.k}, m.w), floats.biases[i]);
  }
}

Result<std::vector<NamedTensor>> changed_floats(const Weights& weights, const Plan& plan,
                                                FloatBlock& floats) {
  std::vector<NamedTensor> out;
  auto compare = [&](const VectorSpec& spec, const std::vector<float>& norm) -> Status {
    if (NB_TRY(weights.vector(spec)) != norm)
      out.push_back({spec.name, own_floats(floats.norm_type, {spec.size}, norm)});
    return {};
  };
  NB_OK(compare(floats.norm_names.attention, floats.attention_norm));
  NB_OK(compare(floats.norm_names.mlp, floats.mlp_norm));
  for (size_t i = 0; i < floats.specs.size(); ++i) {
    const LinearSpec& spec = floats.specs[i];
    if (plan.of(spec.module).scheme) continue;
    std::string name = spec.module + ".weight";
    DType type = NB_TRY(weights.checkpoint().get(name)).dtype;
    std::vector<float>& w = floats.matrices[i].w;
    TensorView stored = own_floats(type, {spec.n, spec.k}, w);
    to_float(type, stored.bytes.data(), spec.n * spec.k, w.data());
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
