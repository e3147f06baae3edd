#include "model/gguf/source.h"

#include <algorithm>

#include "model/gguf/family.h"
#include "model/gguf/matrices.h"
#include "model/gguf/names.h"
#include "model/roles.h"

namespace nibble {
namespace {

class Builder {
 public:
  Builder(const GgufModel& model, const GgufFamily& family, DecoderConfig config)
      : model_(model), family_(family), c_(std::move(config)) {
    c_.names.base = c_.names.bases[0];
  }

  Status run() {
    NB_OK(add_matrix({embedding_module(c_), c_.vocab, c_.embedding_width}, "token_embd", {}));
    if (c_.position_offset >= 0) NB_OK(add_matrix(position_matrix(c_), "position_embd", {}));
    if (c_.embedding_norm) NB_OK(add_norm(embedding_norm(c_), "token_embd_norm"));
    for (int64_t layer = 0; layer < c_.layers; ++layer) NB_OK(add_block(layer));
    if (c_.final_norm) NB_OK(add_norm(final_norm(c_), "output_norm"));
    if (!c_.tied_head)
      NB_OK(add_matrix({head_module(c_), c_.vocab, c_.embedding_width}, "output", {}));
    if (c_.head_bias) NB_OK(add_vector({head_module(c_) + ".bias", c_.vocab}, "output.bias", {}));
    return {};
  }

  GgufSource finish(Json config) {
    return {Checkpoint::of_tensors(model_.path(), std::move(tensors_), std::move(config)),
            std::move(c_), std::move(matrices_)};
  }

 private:
  Result<const GgufModel::Tensor*> tensor(const std::string& name) const {
    const GgufModel::Tensor* t = model_.tensor(name);
    if (!t) return fail("{}: has no tensor {}", model_.path(), in_quotes(name));
    return t;
  }

  Status add_block(int64_t layer) {
    std::string block = fmt::format("blk.{}.", layer);
    for (const LinearSpec& spec : block_linears(c_, layer)) {
      std::string name = block + gguf_linear_name(spec.role);
      RowOrder order = gguf_row_order(c_, family_.pairs, spec.role);
      if (spec.expert >= 0)
        NB_OK(add_expert(spec, name));
      else
        NB_OK(add_matrix({spec.module, spec.n, spec.k}, name, order));
      if (spec.bias) NB_OK(add_vector({spec.module + ".bias", spec.n}, name + ".bias", order));
    }
    bool two_norms = model_.tensor(block + "attn_norm_2.weight") != nullptr;
    for (const NormSpec& norm : block_norms(c_, layer))
      NB_OK(add_norm(norm, block + gguf_norm_name(norm.place, two_norms)));
    if (c_.blocks[static_cast<size_t>(layer)].experts > 0)
      NB_OK(add_matrix(router(c_, layer), block + "ffn_gate_inp", {}));
    return {};
  }

  // `name` without ".weight".
  Status add_matrix(const MatrixSpec& spec, const std::string& name, const RowOrder& order) {
    const GgufModel::Tensor* t = NB_TRY(tensor(name + ".weight"));
    if (t->header->shape != std::vector{spec.n, spec.k})
      return fail("{}: tensor {} has shape {}, should be {}", model_.path(),
                  in_quotes(name + ".weight"), shape_text(t->header->shape),
                  shape_text(std::array{spec.n, spec.k}));
    add(spec, *t, t->header->bytes, order);
    return {};
  }

  // One of those that a tensor holds one after another, or, in older files, a tensor of its own.
  Status add_expert(const LinearSpec& spec, const std::string& name) {
    std::string alone = fmt::format("{}.{}", name, spec.expert);
    if (model_.tensor(alone + ".weight"))
      return add_matrix({spec.module, spec.n, spec.k}, alone, {});
    std::string together = name + "_exps.weight";
    const GgufModel::Tensor* t = NB_TRY(tensor(together));
    int64_t experts = c_.blocks[0].experts;
    for (const LayerConfig& layer : c_.blocks) experts = std::max(experts, layer.experts);
    if (t->header->shape != std::vector{experts, spec.n, spec.k})
      return fail("{}: tensor {} has shape {}, should be {}", model_.path(), in_quotes(together),
                  shape_text(t->header->shape), shape_text(std::array{experts, spec.n, spec.k}));
    size_t size = t->header->bytes.size() / static_cast<size_t>(experts);
    add({spec.module, spec.n, spec.k}, *t,
        t->header->bytes.subspan(static_cast<size_t>(spec.expert) * size, size), {});
    return {};
  }

  void add(const MatrixSpec& spec, const GgufModel::Tensor& t, std::span<const std::byte> bytes,
           const RowOrder& order) {
    GgufMatrix m{t.header->type, bytes, t.file, spec.n, spec.k, order};
    auto type = m.float_type();
    TensorView view{
        type.value_or(DType::kU8), {spec.n, type ? spec.k : m.row_bytes()}, bytes, t.file, t.file};
    tensors_.push_back({spec.module + ".weight", std::move(view)});
    // A Conv1D's matrix, too, lies as (outputs, inputs) here.
    if (!type || !order.plain() || c_.conv1d) matrices_->add(spec.module, std::move(m));
  }

  // The floats of a tensor that should have as many numbers.
  Result<std::vector<float>> floats(const std::string& name, int64_t size) const {
    const GgufTensor& t = *NB_TRY(tensor(name))->header;
    if (t.elements() != size)
      return fail("{}: tensor {} has {} numbers, should have {}", model_.path(), in_quotes(name),
                  t.elements(), size);
    std::vector<float> out(static_cast<size_t>(size));
    gguf_to_float(t, out.data());
    return out;
  }

  Status add_vector(const VectorSpec& spec, const std::string& name, const RowOrder& order) {
    std::vector<float> stored = NB_TRY(floats(name, spec.size)), out(stored.size());
    for (size_t i = 0; i < out.size(); ++i)
      out[i] = stored[static_cast<size_t>(order.source(static_cast<int64_t>(i)))];
    tensors_.push_back({spec.name, own_floats(DType::kF32, {spec.size}, out)});
    return {};
  }

  Status add_norm(const NormSpec& norm, const std::string& name) {
    NB_OK(add_parts(norm.weights(), norm.size * norm.parts, name + ".weight",
                    c_.norm == NormKind::kRmsPlusOne ? 1 : 0));
    return add_parts(norm.biases(), norm.size * norm.parts, name + ".bias", 0);
  }

  // What the file has as one tensor and the folder as `parts`, less `shift`.
  Status add_parts(const std::vector<VectorSpec>& parts, int64_t size, const std::string& name,
                   float shift) {
    if (parts.empty()) return {};
    std::vector<float> all = NB_TRY(floats(name, size));
    for (float& v : all) v -= shift;
    std::span<const float> rest = all;
    for (const VectorSpec& part : parts) {
      auto count = static_cast<size_t>(part.size);
      tensors_.push_back({part.name, own_floats(DType::kF32, {part.size}, rest.first(count))});
      rest = rest.subspan(count);
    }
    return {};
  }

  const GgufModel& model_;
  const GgufFamily& family_;
  DecoderConfig c_;
  std::vector<NamedTensor> tensors_;
  std::shared_ptr<GgufMatrices> matrices_ = std::make_shared<GgufMatrices>();
};

}  // namespace

Result<GgufSource> open_gguf_source(const std::string& path) {
  GgufModel model = NB_TRY(GgufModel::open(path));
  if (model.tensor_count() == 0) return fail("{}: holds no weights, only metadata", path);
  GgufFields fields = NB_TRY(GgufFields::read(model));
  const GgufFamily* family = NB_TRY(gguf_family(fields));
  Json config = NB_TRY(gguf_config(model, fields, *family));
  Builder builder(model, *family, NB_TRY(parse_config(config, path)));
  NB_OK(builder.run());
  return builder.finish(std::move(config));
}

}  // namespace nibble
