#include "model/weights.h"

#include <cmath>
#include <cstring>

namespace nibble {

Result<Weights> Weights::open(const std::string& folder) {
  Weights w;
  w.checkpoint_ = NB_TRY(Checkpoint::open(folder));
  std::string what = folder + "/config.json";
  w.config_ = NB_TRY(parse_config(w.checkpoint_.config(), what));
  w.quantization_ = NB_TRY(CompressedTensorsConfig::parse(w.checkpoint_.config(), what));
  w.input_rules_ = NB_TRY(InputRules::read(folder));
  NB_OK(w.check_shapes());
  return w;
}

// A bounded walk over names: counts come from config.json, existence and shape from the headers.
Status Weights::check_shapes() const {
  const DecoderConfig& c = config_;
  NB_OK(check_matrix(kEmbeddingModule, c.vocab, c.hidden));
  NB_OK(vector({kFinalNormName, c.hidden}));
  for (int64_t layer = 0; layer < c.layers; ++layer) {
    BlockNorms norms = block_norms(c, layer);
    for (const VectorSpec& v : {norms.attention, norms.mlp, norms.query, norms.key})
      if (!v.name.empty()) NB_OK(checkpoint_.get(v.name, std::array{v.size}));
    // The first missing tensor ends the walk, so an absurd layer count costs nothing.
    for (const LinearSpec& spec : block_linears(c, layer)) {
      NB_OK(check_matrix(spec.module, spec.n, spec.k));
      if (spec.bias) NB_OK(checkpoint_.get(spec.module + ".bias", std::array{spec.n}));
    }
  }
  return c.tied_head ? Status{} : check_matrix(kHeadModule, c.vocab, c.hidden);
}

Status Weights::check_matrix(const std::string& module, int64_t n, int64_t k) const {
  if (scheme_of(module))
    NB_OK(quantized(module, n, k));
  else
    NB_OK(float_matrix(module + ".weight", n, k));
  return {};
}

std::optional<Scheme> Weights::scheme_of(const std::string& module) const {
  if (quantization_.empty()) return std::nullopt;
  // A float weight under a quantized pattern was left out by the one who wrote the folder.
  bool packed =
      checkpoint_.has(module + ".weight_packed") || checkpoint_.has(module + ".weight_scale");
  return packed ? quantization_.scheme_of(module) : std::nullopt;
}

Result<TensorView> Weights::float_matrix(const std::string& name, int64_t n, int64_t k) const {
  TensorView view = NB_TRY(checkpoint_.get(name, std::array{n, k}));
  if (!is_float(view.dtype))
    return fail("{}: tensor {} is {}, should be F32, F16 or BF16", checkpoint_.folder(), name,
                dtype_name(view.dtype));
  return view;
}

Result<std::vector<float>> Weights::floats(const std::string& name, int64_t n, int64_t k) const {
  TensorView view = NB_TRY(float_matrix(name, n, k));
  std::vector<float> out(static_cast<size_t>(n * k));
  to_float(view.dtype, view.bytes.data(), n * k, out.data());
  view.release();
  return out;
}

Result<std::vector<float>> Weights::vector(const VectorSpec& spec) const {
  TensorView view = NB_TRY(checkpoint_.get(spec.name, std::array{spec.size}));
  if (!is_float(view.dtype))
    return fail("{}: tensor {} is {}, should be a float", checkpoint_.folder(), spec.name,
                dtype_name(view.dtype));
  std::vector<float> out(static_cast<size_t>(spec.size));
  to_float(view.dtype, view.bytes.data(), spec.size, out.data());
  return out;
}

Result<std::vector<float>> Weights::bias(const LinearSpec& spec) const {
  if (!spec.bias) return std::vector<float>{};
  return vector({spec.module + ".bias", spec.n});
}

Result<QuantizedMatrix> Weights::quantized(const std::string& module, int64_t n, int64_t k) const {
  auto scheme = scheme_of(module);
  if (!scheme) return fail("{}: {} is not quantized", checkpoint_.folder(), module);
  return from_compressed_tensors(checkpoint_, module, *scheme, n, k);
}

Result<InputRule> Weights::input_rule(const std::string& module, Activations mode) const {
  if (mode == Activations::kFloat || input_rules_.keeps_float(module)) return InputRule{};
  auto threshold = static_cast<float>(input_rules_.threshold);
  if (mode != Activations::kInt8Static) return InputRule{mode, 0, threshold};
  std::string name = module + ".input_scale";
  if (!checkpoint_.has(name)) {
    if (module == kHeadModule || module == kEmbeddingModule) return InputRule{};
    return fail("{}: has no {}; quantize with --input-ranges for static activations",
                checkpoint_.folder(), name);
  }
  float scale = NB_TRY(vector({name, 1}))[0];
  if (!(scale > 0 && std::isfinite(scale)))
    return fail("{}: {} is {}, should be above 0", checkpoint_.folder(), name, scale);
  return InputRule{mode, scale, threshold};
}

Result<FloatColumns> Weights::outlier_columns(const std::string& module, int64_t n,
                                              int64_t k) const {
  FloatColumns out;
  std::string name = module + ".outlier_columns";
  if (!checkpoint_.has(name)) return out;
  TensorView view = NB_TRY(checkpoint_.get(name));
  if (view.dtype != DType::kI32 || view.shape.size() != 1)
    return fail("{}: tensor {} should be a list of I32", checkpoint_.folder(), name);
  for (int64_t i = 0; i < view.elements(); ++i) {
    int32_t j = 0;
    std::memcpy(&j, view.bytes.data() + i * 4, 4);
    if (j >= k || j <= (out.columns.empty() ? -1 : out.columns.back()))
      return fail("{}: tensor {} should ascend below {}", checkpoint_.folder(), name, k);
    out.columns.push_back(j);
  }
  auto count = static_cast<int64_t>(out.columns.size());
  TensorView w = NB_TRY(float_matrix(module + ".outlier_weight", n, count));
  out.w.resize(static_cast<size_t>(n * count));
  to_float(w.dtype, w.bytes.data(), n * count, out.w.data());
  return out;
}

Result<std::unique_ptr<Linear>> Weights::linear(const LinearSpec& spec, Activations mode,
                                                PackedStore* store) const {
  std::vector<float> b = NB_TRY(bias(spec));
  if (scheme_of(spec.module))
    return make_quantized_linear(NB_TRY(quantized(spec.module, spec.n, spec.k)), std::move(b),
                                 NB_TRY(input_rule(spec.module, mode)), store,
                                 NB_TRY(outlier_columns(spec.module, spec.n, spec.k)));
  return make_float_linear(NB_TRY(float_matrix(spec.module + ".weight", spec.n, spec.k)),
                           std::move(b));
}

Result<Embedding> Weights::embedding() const {
  const DecoderConfig& c = config_;
  if (scheme_of(kEmbeddingModule))
    return Embedding(NB_TRY(quantized(kEmbeddingModule, c.vocab, c.hidden)));
  return Embedding(NB_TRY(float_matrix(kEmbeddingName, c.vocab, c.hidden)));
}

Result<std::unique_ptr<Linear>> Weights::head(Activations mode, PackedStore* store) const {
  const std::string& module = config_.tied_head ? kEmbeddingModule : kHeadModule;
  return linear({Role::kQ, Stage::kQkv, module, config_.vocab, config_.hidden, false}, mode, store);
}

}  // namespace nibble
