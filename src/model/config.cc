#include "model/config.h"

#include <cmath>

#include "model/archs/arch.h"

namespace nibble {
namespace {

// A count that sizes memory: positive, and no larger than any model of the decade.
Result<int64_t> count(const Json& j, const char* key, std::optional<int64_t> fallback,
                      const std::string& what, int64_t most) {
  int64_t v = NB_TRY(get_int(j, key, fallback, what));
  if (v < 1 || v > most)
    return fail("{}: \"{}\" is {}, which is outside 1..{}", what, key, v, most);
  return v;
}

Result<double> positive(const Json& j, const char* key, std::optional<double> fallback,
                        const std::string& what) {
  double v = NB_TRY(get_number(j, key, fallback, what));
  if (!(v > 0) || !std::isfinite(v))
    return fail("{}: \"{}\" is {}, should be positive", what, key, v);
  return v;
}

// transformers 4 has rope_theta and rope_scaling, transformers 5 rope_parameters with both.
Result<RopeSpec> parse_rope(const Json& config, const std::string& what, int64_t context) {
  RopeSpec rope;
  rope.theta = NB_TRY(positive(config, "rope_theta", 10000, what));
  const char* key = config.contains("rope_parameters") ? "rope_parameters" : "rope_scaling";
  auto it = config.find(key);
  if (it == config.end() || it->is_null()) return rope;
  if (!it->is_object()) return fail("{}: \"{}\" should be an object", what, key);
  const Json& r = *it;
  rope.theta = NB_TRY(positive(r, "rope_theta", rope.theta, what));
  std::string older = NB_TRY(get_string(r, "type", "default", what));
  std::string type = NB_TRY(get_string(r, "rope_type", older, what));
  if (type == "default") return rope;
  if (type != "linear" && type != "llama3")
    return fail("{}: rope scaling \"{}\" is not known; known: default, linear, llama3", what, type);
  rope.factor = NB_TRY(positive(r, "factor", std::nullopt, what));
  rope.kind = RopeSpec::Kind::kLinear;
  if (type == "linear") return rope;
  rope.kind = RopeSpec::Kind::kLlama3;
  rope.low_freq_factor = NB_TRY(positive(r, "low_freq_factor", 1, what));
  rope.high_freq_factor = NB_TRY(positive(r, "high_freq_factor", 4, what));
  rope.original_context =
      NB_TRY(count(r, "original_max_position_embeddings", context, what, int64_t{1} << 31));
  if (rope.high_freq_factor <= rope.low_freq_factor)
    return fail("{}: \"high_freq_factor\" should be larger than \"low_freq_factor\"", what);
  return rope;
}

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

}  // namespace

Result<DecoderConfig> parse_config(const Json& config, const std::string& what) {
  if (!config.is_object()) return fail("{}: should be a JSON object", what);
  DecoderConfig out;
  out.model_type = NB_TRY(get_string(config, "model_type", std::nullopt, what));
  const Architecture* arch = nullptr;
  for (const Architecture& a : known_architectures())
    if (out.model_type == a.model_type) arch = &a;
  if (!arch)
    return fail("{}: architecture \"{}\" is not known; known: {}", what, out.model_type,
                known_architecture_names());
  if (std::string act = NB_TRY(get_string(config, "hidden_act", "silu", what)); act != "silu")
    return fail("{}: activation \"{}\" is not known; known: silu", what, act);

  constexpr int64_t kMost = 1 << 24;
  out.hidden = NB_TRY(count(config, "hidden_size", std::nullopt, what, kMost));
  out.layers = NB_TRY(count(config, "num_hidden_layers", std::nullopt, what, 10000));
  out.heads = NB_TRY(count(config, "num_attention_heads", std::nullopt, what, kMost));
  out.kv_heads = NB_TRY(count(config, "num_key_value_heads", out.heads, what, kMost));
  out.head_dim =
      NB_TRY(count(config, "head_dim", std::max<int64_t>(1, out.hidden / out.heads), what, 4096));
  out.mlp = NB_TRY(count(config, "intermediate_size", std::nullopt, what, kMost));
  out.vocab = NB_TRY(count(config, "vocab_size", std::nullopt, what, kMost));
  out.context = NB_TRY(count(config, "max_position_embeddings", 2048, what, int64_t{1} << 31));
  out.norm_eps = NB_TRY(positive(config, "rms_norm_eps", 1e-6, what));
  if (out.heads % out.kv_heads != 0)
    return fail("{}: \"num_attention_heads\" {} cannot share \"num_key_value_heads\" {}", what,
                out.heads, out.kv_heads);
  if (out.head_dim % 2 != 0) return fail("{}: head_dim {} is odd", what, out.head_dim);
  if (!config.contains("head_dim") && out.hidden % out.heads != 0)
    return fail("{}: {} heads do not divide the hidden size {}", what, out.heads, out.hidden);
  out.rope = NB_TRY(parse_rope(config, what, out.context));
  out.tied_head = NB_TRY(get_bool(config, "tie_word_embeddings", false, what));
  out.windows.assign(static_cast<size_t>(out.layers), 0);
  NB_OK(read_special_ids(config, what, out));
  NB_OK(arch->configure(config, what, out));
  return out;
}

}  // namespace nibble
