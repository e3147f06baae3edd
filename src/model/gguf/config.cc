// What all architectures say alike.
#include <cmath>

#include "model/gguf/family.h"
#include "model/gguf/rope_config.h"
#include "text/gguf_tokenizer.h"

namespace nibble {
namespace {

// Sets the member if there is a value.
template <class T>
void set(Json& config, const char* key, const std::optional<T>& value) {
  if (key && value) config[key] = *value;
}

Result<const Architecture*> architecture_of(const GgufFamily& family) {
  for (const Architecture* a : known_architectures())
    if (std::string_view(family.model_type) == a->model_type) return a;
  return fail("architecture {} is not known", family.model_type);
}

Status set_sizes(const GgufFields& f, const ConfigKeys& keys, Json& config) {
  config[keys.hidden[0]] = NB_TRY(f.need_integer("embedding_length"));
  config[keys.layers[0]] = NB_TRY(f.need_integer("block_count"));
  config[keys.heads[0]] = NB_TRY(f.need_integer("attention.head_count"));
  set(config, keys.kv_heads[0], NB_TRY(f.integer("attention.head_count_kv")));
  set(config, keys.mlp[0], NB_TRY(f.integer("feed_forward_length")));
  set(config, keys.context[0], NB_TRY(f.integer("context_length")));
  for (const char* key : {"attention.layer_norm_epsilon", "attention.layer_norm_rms_epsilon"})
    set(config, keys.norm_eps, NB_TRY(f.number(key)));
  auto key_length = NB_TRY(f.integer("attention.key_length"));
  auto value_length = NB_TRY(f.integer("attention.value_length"));
  if (key_length.value_or(0) != value_length.value_or(key_length.value_or(0)))
    return fail("{}: keys of {} numbers and values of {} are not known", f.path(),
                key_length.value_or(0), *value_length);
  set(config, "head_dim", key_length);
  config["vocab_size"] = NB_TRY(f.shape("token_embd.weight", 2))[0];
  return {};
}

// The floats that the blocks' matrices are, or were before they were quantized.
const char* dtype_of(const GgufModel& model) {
  const GgufModel::Tensor* t = model.tensor("blk.0.attn_output.weight");
  std::string_view type = t ? t->header->type->name : "";
  return type == "F32" ? "float32" : type == "BF16" ? "bfloat16" : "float16";
}

void set_special_ids(const GgufModel& model, Json& config) {
  auto vocab = config["vocab_size"].get<int64_t>();
  const auto* bos = model.find<int64_t>("tokenizer.ggml.bos_token_id");
  if (bos && *bos >= 0 && *bos < vocab) config["bos_token_id"] = *bos;
  Json ends = Json::array();
  for (int64_t id : gguf_end_ids(model))
    if (id < vocab) ends.push_back(id);
  if (ends.size() == 1)
    config["eos_token_id"] = ends[0];
  else if (!ends.empty())
    config["eos_token_id"] = ends;
}

}  // namespace

Result<Json> gguf_config(const GgufModel& model, const GgufFields& f, const GgufFamily& family) {
  const Architecture* arch = NB_TRY(architecture_of(family));
  Json config = {{"architectures", {family.class_name}}, {"model_type", family.model_type}};
  NB_OK(set_sizes(f, arch->keys, config));
  config["tie_word_embeddings"] = !f.has_tensor("output.weight");
  config["torch_dtype"] = dtype_of(model);
  set_special_ids(model, config);
  if (arch->keys.rotary) NB_OK(set_gguf_rope(f, arch->keys, config));
  if (family.configure) NB_OK(family.configure(f, config));
  return config;
}

}  // namespace nibble
