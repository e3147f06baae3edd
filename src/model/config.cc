#include "model/config.h"

#include <algorithm>

#include "model/archs/arch.h"

namespace nibble {
namespace {

Status read_special_ids(const Json& config, const std::string& what, DecoderConfig& out) {
  auto one = [&](const Json& v) -> Result<int32_t> {
    if (!v.is_number_integer() || v.get<int64_t>() < 0 || v.get<int64_t>() >= out.vocab)
      return fail("{}: token id {} is outside the vocabulary of {}", what, v.dump(), out.vocab);
    return static_cast<int32_t>(v.get<int64_t>());
  };
  if (auto it = config.find("bos_token_id"); it != config.end() && !it->is_null())
    out.bos = NB_TRY(one(*it));
  auto it = config.find("eos_token_id");
  if (it == config.end() || it->is_null()) return {};
  if (!it->is_array()) {
    out.eos = {NB_TRY(one(*it))};
    return {};
  }
  for (const Json& v : *it) out.eos.push_back(NB_TRY(one(v)));
  return {};
}

Result<const Architecture*> find_architecture(const ConfigReader& r) {
  std::string type = NB_TRY(r.text("model_type", std::nullopt));
  for (const Architecture* a : known_architectures())
    if (type == a->model_type) return a;
  return fail("{}: architecture {} is not known; known: {}", r.what(), in_quotes(type),
              known_architecture_names());
}

Status read_sizes(const ConfigReader& r, const ConfigKeys& keys, DecoderConfig& out) {
  out.hidden = NB_TRY(r.count(r.first(keys.hidden), std::nullopt));
  out.layers = NB_TRY(r.count(r.first(keys.layers), std::nullopt, 10000));
  out.heads = NB_TRY(r.count(r.first(keys.heads), std::nullopt));
  out.kv_heads = keys.kv_heads[0] ? NB_TRY(r.count(r.first(keys.kv_heads), out.heads)) : out.heads;
  int64_t head_dim =
      keys.usual_head_dim > 0 ? keys.usual_head_dim : std::max<int64_t>(1, out.hidden / out.heads);
  out.head_dim = NB_TRY(r.count("head_dim", head_dim, 4096));
  std::optional<int64_t> mlp;
  if (keys.usual_mlp > 0) mlp = keys.usual_mlp * out.hidden;
  out.mlp = NB_TRY(r.count(r.first(keys.mlp), mlp, ConfigReader::kMost * 4));
  out.vocab = NB_TRY(r.count("vocab_size", std::nullopt));
  out.context = NB_TRY(r.count(r.first(keys.context), keys.usual_context, int64_t{1} << 31));
  out.norm_eps = NB_TRY(r.positive(keys.norm_eps, keys.usual_eps));
  out.activation = NB_TRY(r.activation(keys.activation, keys.usual_activation));
  out.embedding_width = out.hidden;
  out.blocks.resize(static_cast<size_t>(out.layers));
  return {};
}

Status check(const ConfigReader& r, DecoderConfig& out) {
  if (out.heads % out.kv_heads != 0)
    return fail("{}: {} query heads cannot share {} of keys and values (num_key_value_heads)",
                r.what(), out.heads, out.kv_heads);
  if (!r.has("head_dim") && out.hidden % out.heads != 0)
    return fail("{}: {} heads do not divide the hidden size {}", r.what(), out.heads, out.hidden);
  for (const LayerConfig& layer : out.blocks)
    if (layer.experts > 0 && (out.experts_per_token > layer.experts || layer.experts > 65536))
      return fail("{}: a token cannot pass {} of {} experts", r.what(), out.experts_per_token,
                  layer.experts);
  for (LayerConfig& layer : out.blocks) {
    if (layer.attention_scale == 0)
      layer.attention_scale = 1 / std::sqrt(static_cast<double>(out.head_dim));
    if (out.ropes.empty()) layer.rope = -1;
  }
  return {};
}

}  // namespace

int64_t DecoderConfig::short_context() const {
  int64_t most = 0;
  for (const RopeSpec& rope : ropes)
    if (rope.kind == RopeSpec::Kind::kLongrope) most = std::max(most, rope.original_context);
  return most;
}

Result<DecoderConfig> parse_config(const Json& config, const std::string& what) {
  if (!config.is_object()) return fail("{}: should be a JSON object", what);
  // A model that also sees or hears keeps its decoder's fields in an object of their own.
  const Json* fields = &config;
  if (auto it = config.find("text_config"); it != config.end() && it->is_object()) fields = &*it;
  ConfigReader r(*fields, what), outer(config, what);
  const Architecture* arch = NB_TRY(find_architecture(r));
  DecoderConfig out;
  out.model_type = arch->model_type;
  NB_OK(read_sizes(r, arch->keys, out));
  if (arch->keys.rotary)
    out.ropes = {NB_TRY(
        r.rope(out.head_dim, out.context, arch->keys.usual_theta, arch->keys.usual_rotary_share))};
  out.tied_head = NB_TRY(r.flag(
      "tie_word_embeddings", NB_TRY(outer.flag("tie_word_embeddings", arch->keys.usually_tied))));
  NB_OK(read_special_ids(config, what, out));
  if (out.eos.empty()) NB_OK(read_special_ids(*fields, what, out));
  NB_OK(arch->configure(r, out));
  NB_OK(check(r, out));
  return out;
}

}  // namespace nibble
