#include "model/weights.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <unordered_set>

#include "base/checked.h"
#include "base/threads.h"
#include "formats/remembered_digest.h"
#include "model/gguf/source.h"
#include "model/rounded_linear.h"

namespace nibble {

Result<Weights> Weights::open(const std::string& folder, const std::string& lora) {
  Weights w;
  if (is_gguf_model(folder)) {
    GgufSource source = NB_TRY(open_gguf_source(folder));
    w.checkpoint_ = std::move(source.checkpoint);
    w.config_ = std::move(source.config);
    w.format_ = std::move(source.format);
  } else {
    w.checkpoint_ = NB_TRY(Checkpoint::open(folder));
    std::string what = folder + "/config.json";
    w.config_ = NB_TRY(parse_config(w.checkpoint_.config(), what));
    w.format_ = NB_TRY(weight_format_of(w.checkpoint_.config(), folder));
  }
  w.input_rules_ = NB_TRY(InputRules::read(folder));
  NB_OK(w.find_base());
  NB_OK(w.check_shapes());
  if (!lora.empty()) w.lora_ = NB_TRY(LoraAdapter::open(lora, w.config_));
  return w;
}

Result<Weights> Weights::of_tensors(const Weights& model, std::vector<NamedTensor> tensors,
                                    std::shared_ptr<const WeightFormat> format, bool tied_head) {
  Weights w;
  w.checkpoint_ = Checkpoint::of_tensors(model.checkpoint_.folder(), std::move(tensors),
                                         model.checkpoint_.config());
  w.config_ = model.config_;
  w.config_.tied_head = tied_head;
  w.format_ = std::move(format);
  NB_OK(w.check_shapes());
  return w;
}

Weights Weights::with(std::vector<NamedTensor> more) const {
  Weights w = *this;
  more.insert(more.begin(), checkpoint_.tensors().begin(), checkpoint_.tensors().end());
  w.checkpoint_ =
      Checkpoint::of_tensors(checkpoint_.folder(), std::move(more), checkpoint_.config());
  return w;
}

// Bodies are saved under several prefixes, alone or inside larger models; the head beside the body.
Status Weights::find_base() {
  Names& names = config_.names;
  auto has_module = [&](const std::string& module) {
    return checkpoint_.has(module + ".weight") || formatted(module);
  };
  auto found = std::find_if(names.bases.begin(), names.bases.end(), [&](const std::string& base) {
    return has_module(base + names.embedding);
  });
  names.base = found == names.bases.end() ? names.bases[0] : *found;
  std::string inside = "language_model." + names.head;
  if (!has_module(names.head) && has_module(inside)) names.head = inside;
  return {};
}

// A bounded walk over names: counts come from config.json, existence and shape from the headers.
// The first missing tensor ends it, so an absurd layer count costs nothing.
Status Weights::check_shapes() const {
  const DecoderConfig& c = config_;
  NB_OK(check_matrix(embedding_module(c), c.vocab, c.embedding_width));
  for (int64_t layer = 0; layer < c.layers; ++layer)
    for (const LinearSpec& spec : block_linears(c, layer)) {
      NB_OK(check_matrix(spec.module, spec.n, spec.k));
      if (spec.bias) NB_OK(checkpoint_.get(spec.module + ".bias", std::array{spec.n}));
    }
  for (const VectorSpec& v : norm_vectors(c)) NB_OK(checkpoint_.get(v.name, std::array{v.size}));
  for (const MatrixSpec& m : other_matrices(c)) NB_OK(check_matrix(m.module, m.n, m.k));
  if (c.head_bias) NB_OK(checkpoint_.get(head_module(c) + ".bias", std::array{c.vocab}));
  return c.tied_head ? Status{} : check_matrix(head_module(c), c.vocab, c.embedding_width);
}

namespace {

Result<TensorView> float_view(const Checkpoint& checkpoint, const std::string& name,
                              std::span<const int64_t> shape) {
  TensorView view = NB_TRY(checkpoint.get(name, shape));
  if (!is_float(view.dtype))
    return fail("{}: tensor {} is {}, should be F32, F16 or BF16", checkpoint.folder(), name,
                dtype_name(view.dtype));
  return view;
}

// The vectors one after another; nothing where there are none.
Result<std::vector<float>> joined(const Weights& weights, const std::vector<VectorSpec>& specs) {
  std::vector<float> out;
  for (const VectorSpec& spec : specs) {
    std::vector<float> part = NB_TRY(weights.vector(spec));
    out.insert(out.end(), part.begin(), part.end());
  }
  return out;
}

}  // namespace

Status Weights::check_matrix(const std::string& module, int64_t n, int64_t k) const {
  if (formatted(module))
    NB_OK(format_->check(checkpoint_, module, n, k));
  else
    NB_OK(float_view(checkpoint_, module + ".weight",
                     transposed(module) ? std::array{k, n} : std::array{n, k}));
  return {};
}

bool Weights::formatted(const std::string& module) const {
  return format_ && format_->holds(checkpoint_, module);
}

std::optional<Scheme> Weights::scheme_of(const std::string& module) const {
  if (!formatted(module) || changed(module)) return std::nullopt;
  return format_->scheme_of(checkpoint_, module);
}

std::optional<Scheme> Weights::stored_scheme(const std::string& module) const {
  if (!formatted(module) || changed(module)) return std::nullopt;
  return format_->stored_scheme(checkpoint_, module);
}

std::string Weights::form_of(const std::string& module) const {
  return quantizes(module) ? format_->name_of(checkpoint_, module) : "";
}

Result<DType> Weights::stored_type(const std::string& module) const {
  if (changed(module)) return DType::kF32;
  if (formatted(module)) return format_->float_type(checkpoint_, module);
  return NB_TRY(checkpoint_.get(module + ".weight")).dtype;
}

Result<std::string> Weights::digest(const std::string& memory) const {
  std::string digest =
      NB_TRY(memory.empty() ? checkpoint_.digest() : remembered_digest(checkpoint_, memory));
  return lora_ ? digest + "+" + lora_->digest() : digest;
}

std::shared_ptr<const RowSource> Weights::row_source(const std::string& module) const {
  return formatted(module) && !changed(module) ? format_->rows(checkpoint_, module) : nullptr;
}

bool Weights::transposed(const std::string& name) const {
  return config_.conv1d && name.starts_with(config_.names.base + config_.names.layers + ".");
}

std::array<int64_t, 2> Weights::stored_shape(int64_t n, int64_t k) const {
  return config_.conv1d ? std::array{k, n} : std::array{n, k};
}

Result<TensorView> Weights::float_matrix(const std::string& name, int64_t n, int64_t k) const {
  constexpr std::string_view kWeight = ".weight";
  if (name.ends_with(kWeight)) {
    std::string module = name.substr(0, name.size() - kWeight.size());
    if (changed(module)) return merged_matrix(module, n, k);
    if (formatted(module)) return format_->floats(checkpoint_, module, n, k);
  }
  return stored_matrix(name, n, k);
}

std::string Weights::type_name(const NamedTensor& tensor) const {
  std::string module = tensor.name.substr(0, tensor.name.rfind('.'));
  std::string own = formatted(module) ? format_->type_name(checkpoint_, module) : "";
  return own.empty() ? std::string(dtype_name(tensor.view.dtype)) : own;
}

Result<TensorView> Weights::merged_matrix(const std::string& module, int64_t n, int64_t k) const {
  TensorView base = NB_TRY(formatted(module) ? format_->floats(checkpoint_, module, n, k)
                                             : stored_matrix(module + ".weight", n, k));
  std::vector<std::byte> bytes(static_cast<size_t>(n * k * 4));
  auto* w = reinterpret_cast<float*>(bytes.data());
  to_float(base.dtype, base.bytes.data(), n * k, w);
  base.release();
  NB_OK(lora_->add(module, n, k, w));
  return own_bytes(DType::kF32, {n, k}, std::move(bytes));
}

namespace {

// (n, k) of a float type, turned.
TensorView turned(const TensorView& view) {
  int64_t n = view.dim(0), k = view.dim(1), size = dtype_size(view.dtype);
  std::vector<std::byte> bytes(view.bytes.size());
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < k; ++j)
      std::memcpy(bytes.data() + (j * n + i) * size, view.bytes.data() + (i * k + j) * size,
                  static_cast<size_t>(size));
  view.release();
  return own_bytes(view.dtype, {k, n}, std::move(bytes));
}

// The same floats in another type.
TensorView converted(const TensorView& view, DType type) {
  if (view.dtype == type) return view;
  constexpr int64_t kPiece = 1 << 14;
  int64_t count = view.elements(), from = dtype_size(view.dtype), to = dtype_size(type);
  auto size = static_cast<size_t>(count * to);
  auto bytes = std::make_shared_for_overwrite<std::byte[]>(size);
  parallel_for(ceil_div(count, kPiece), [&](int64_t i) {
    int64_t first = i * kPiece, here = std::min(kPiece, count - first);
    std::array<float, kPiece> values;
    to_float(view.dtype, view.bytes.data() + first * from, here, values.data());
    from_float(type, values.data(), here, bytes.get() + first * to);
  });
  view.release();
  return {type, view.shape, {bytes.get(), size}, bytes, nullptr};
}

}  // namespace

Result<TensorView> Weights::stored_matrix(const std::string& name, int64_t n, int64_t k) const {
  if (!transposed(name)) return float_view(checkpoint_, name, std::array{n, k});
  return turned(NB_TRY(float_view(checkpoint_, name, std::array{k, n})));
}

Result<std::vector<PendingTensor>> Weights::float_tensors(std::optional<DType> type) const {
  auto self = std::make_shared<const Weights>(*this);  // what is loaded later needs it
  std::vector<PendingTensor> out;
  std::unordered_set<std::string> quantized, replaced;  // modules; names
  for (const MatrixSpec& m : all_matrices(config_)) {
    if (formatted(m.module)) quantized.insert(m.module);
    if (!formatted(m.module) && !changed(m.module)) continue;
    std::string name = m.module + ".weight";
    DType wanted = type.value_or(NB_TRY(stored_type(m.module)));
    bool turn = transposed(name);
    std::vector<int64_t> shape = turn ? std::vector{m.k, m.n} : std::vector{m.n, m.k};
    replaced.insert(name);
    out.push_back({name, wanted, std::move(shape), [=]() -> Result<TensorView> {
                     TensorView w = NB_TRY(self->float_matrix(name, m.n, m.k));
                     return converted(turn ? turned(w) : w, wanted);
                   }});
  }
  for (const NamedTensor& t : checkpoint_.tensors()) {
    bool bias = t.name.ends_with(".bias");
    bool part = format_ && !bias && quantized.contains(std::string(format_->module_of(t.name)));
    if (part || replaced.contains(t.name)) continue;
    DType wanted = type && is_float(t.view.dtype) ? *type : t.view.dtype;
    out.push_back({t.name, wanted, t.view.shape,
                   [view = t.view, wanted] { return converted(view, wanted); }});
  }
  return out;
}

Result<int64_t> Weights::stored_bytes(const std::string& module, int64_t n, int64_t k) const {
  if (formatted(module)) return format_->stored_bytes(checkpoint_, module, n, k);
  return static_cast<int64_t>(NB_TRY(checkpoint_.get(module + ".weight")).bytes.size());
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

Result<Norm> Weights::norm(const NormSpec& spec) const {
  Norm out{NB_TRY(joined(*this, spec.weights())), NB_TRY(joined(*this, spec.biases()))};
  if (out.weight.empty()) out.weight.assign(static_cast<size_t>(spec.size * spec.parts), 1.f);
  if (config_.norm == NormKind::kRmsPlusOne)
    for (float& w : out.weight) w += 1;
  return out;
}

Result<std::vector<NamedTensor>> Weights::norm_tensors(const NormSpec& spec,
                                                       const Norm& norm) const {
  std::vector<NamedTensor> out;
  auto add = [&](const std::vector<VectorSpec>& specs, std::span<const float> values, float less,
                 std::optional<DType> wanted) -> Status {
    for (const VectorSpec& v : specs) {
      std::vector<float> part(values.begin(), values.begin() + v.size);
      values = values.subspan(static_cast<size_t>(v.size));
      for (float& w : part) w -= less;
      DType type = NB_TRY(checkpoint_.get(v.name)).dtype;
      out.push_back({v.name, own_floats(wanted.value_or(type), {v.size}, part)});
    }
    return {};
  };
  NB_OK(add(spec.weights(), norm.weight, config_.norm == NormKind::kRmsPlusOne ? 1 : 0, {}));
  NB_OK(add(spec.biases(), norm.bias, 0, DType::kF32));
  return out;
}

Result<std::vector<float>> Weights::bias(const LinearSpec& spec) const {
  if (!spec.bias) return std::vector<float>{};
  // A head that is tied to the embedding has its bias all the same.
  bool tied = spec.module == embedding_module(config_);
  if (formatted(spec.module))
    if (auto own = NB_TRY(format_->bias(checkpoint_, spec.module))) return *std::move(own);
  return vector({(tied ? head_module(config_) : spec.module) + ".bias", spec.n});
}

Result<QuantizedMatrix> Weights::quantized(const std::string& module, int64_t n, int64_t k) const {
  if (!formatted(module) || changed(module))
    return fail("{}: {} is not quantized", checkpoint_.folder(), module);
  return format_->quantized(checkpoint_, module, n, k);
}

Result<std::unique_ptr<Linear>> Weights::linear(const LinearSpec& spec, Activations mode,
                                                PackedStore* store) const {
  std::vector<float> b = NB_TRY(bias(spec));
  if (mode == Activations::kInt8Static && formatted(spec.module))
    if (auto grids = format_->grids(checkpoint_, spec.module))
      return make_grid_linear(
          make_dequantized_linear(NB_TRY(quantized(spec.module, spec.n, spec.k)), std::move(b)),
          *grids);
  if (scheme_of(spec.module))
    return make_quantized_linear(NB_TRY(quantized(spec.module, spec.n, spec.k)), std::move(b),
                                 NB_TRY(input_rule(spec.module, mode)), store,
                                 NB_TRY(outlier_columns(spec.module, spec.n, spec.k)));
  if (auto rows = row_source(spec.module))
    return make_decoded_linear(std::move(rows), std::move(b),
                               NB_TRY(input_rule(spec.module, mode)));
  return make_float_linear(NB_TRY(float_matrix(spec.module + ".weight", spec.n, spec.k)),
                           std::move(b));
}

Result<std::unique_ptr<Linear>> Weights::float_linear(const MatrixSpec& spec) const {
  return make_float_linear(NB_TRY(float_matrix(spec.module + ".weight", spec.n, spec.k)), {});
}

Result<std::shared_ptr<const EmbeddingTail>> Weights::embedding_tail() const {
  const DecoderConfig& c = config_;
  auto out = std::make_shared<EmbeddingTail>();
  out->config = c;
  if (c.embedding_width != c.hidden) out->project_in = NB_TRY(float_linear(nibble::project_in(c)));
  if (c.position_offset >= 0) {
    MatrixSpec table = position_matrix(c);
    out->positions = NB_TRY(float_matrix(table.module + ".weight", table.n, table.k));
  }
  if (c.embedding_norm) out->norm = NB_TRY(norm(nibble::embedding_norm(c)));
  return out;
}

Result<Embedding> Weights::embedding() const {
  const DecoderConfig& c = config_;
  std::string module = embedding_module(c);
  if (scheme_of(module)) return embedding(NB_TRY(quantized(module, c.vocab, c.embedding_width)));
  if (auto rows = row_source(module)) return Embedding(std::move(rows), NB_TRY(embedding_tail()));
  return Embedding(NB_TRY(float_matrix(module + ".weight", c.vocab, c.embedding_width)),
                   NB_TRY(embedding_tail()));
}

Result<Embedding> Weights::embedding(QuantizedMatrix rows) const {
  return Embedding(std::move(rows), NB_TRY(embedding_tail()));
}

Result<Head> Weights::head(std::unique_ptr<Linear> linear) const {
  std::unique_ptr<Linear> out;
  if (config_.embedding_width != config_.hidden)
    out = NB_TRY(float_linear(nibble::project_out(config_)));
  return Head(config_, std::move(out), std::move(linear));
}

Result<Head> Weights::head(Activations mode, PackedStore* store) const {
  const DecoderConfig& c = config_;
  return head(NB_TRY(linear(head_linear(c), mode, store)));
}

Result<Head> Weights::head(QuantizedMatrix matrix) const {
  return head(make_dequantized_linear(std::move(matrix), NB_TRY(bias(head_linear(config_)))));
}

}  // namespace nibble
