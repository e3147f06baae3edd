#include "model/gguf/rope_config.h"

#include <algorithm>
#include <cmath>

namespace nibble {
namespace {

// Of rope.scaling.*, without the factors that tensors hold; null where positions are as trained.
Result<Json> scaling_of(const GgufFields& f) {
  auto type = NB_TRY(f.text("rope.scaling.type"));
  auto factor = NB_TRY(f.number("rope.scaling.factor"));
  if (auto older = NB_TRY(f.number("rope.scale_linear")); older && !type) {
    type = "linear";
    factor = older;
  }
  if (!type || *type == "none" || *type == "longrope") return Json(nullptr);
  if (*type != "linear" && *type != "yarn")
    return fail("{}: rope scaling {} is not known; known: none, linear, yarn, longrope", f.path(),
                in_quotes(*type));
  if (!factor || *factor == 0) return Json(nullptr);
  Json out = {{"rope_type", *type}, {"factor", *factor}};
  if (*type == "linear") return out;
  if (auto context = NB_TRY(f.integer("rope.scaling.original_context_length")))
    out["original_max_position_embeddings"] = *context;
  for (auto [key, name] : {std::pair("rope.scaling.yarn_beta_fast", "beta_fast"),
                           {"rope.scaling.yarn_beta_slow", "beta_slow"},
                           {"rope.scaling.yarn_attn_factor", "attention_factor"}})
    if (auto value = NB_TRY(f.number(key))) out[name] = *value;
  return out;
}

Json longrope(const std::vector<double>& shorter, const std::vector<double>& longer,
              double attention) {
  return {{"rope_type", "longrope"},
          {"short_factor", shorter},
          {"long_factor", longer},
          {"attention_factor", attention}};
}

}  // namespace

Result<int64_t> gguf_head_dim(const GgufFields& f) {
  if (auto given = NB_TRY(f.integer("attention.key_length"))) return *given;
  int64_t heads = NB_TRY(f.need_integer("attention.head_count"));
  if (heads < 1) return fail("{}: has {} heads", f.path(), heads);
  return NB_TRY(f.need_integer("embedding_length")) / heads;
}

Result<std::optional<double>> gguf_rotary_share(const GgufFields& f) {
  auto dims = NB_TRY(f.integer("rope.dimension_count"));
  auto head_dim = static_cast<double>(NB_TRY(gguf_head_dim(f)));
  if (!dims || static_cast<double>(*dims) == head_dim || head_dim < 1) return std::nullopt;
  double share = static_cast<double>(*dims) / head_dim;
  // Readers multiply and cut off.
  if (static_cast<int64_t>(head_dim * share) != *dims)
    share = (static_cast<double>(*dims) + .5) / head_dim;
  return share;
}

Status set_gguf_rope(const GgufFields& f, const ConfigKeys& keys, Json& config) {
  if (auto theta = NB_TRY(f.number("rope.freq_base"))) config["rope_theta"] = *theta;
  if (auto share = NB_TRY(gguf_rotary_share(f))) config["partial_rotary_factor"] = *share;
  auto shorter = NB_TRY(f.vector("rope_factors_short.weight"));
  auto longer = NB_TRY(f.vector("rope_factors_long.weight"));
  auto factors = NB_TRY(f.vector("rope_freqs.weight"));
  if (!shorter.empty() && !longer.empty()) {
    double attention = NB_TRY(f.number("rope.scaling.attn_factor")).value_or(1);
    config["rope_scaling"] = longrope(shorter, longer, attention);
    // Where transformers looks for it, and where Phi-3's class does.
    if (auto context = NB_TRY(f.integer("rope.scaling.original_context_length"))) {
      config["rope_scaling"]["original_max_position_embeddings"] = *context;
      config["original_max_position_embeddings"] = *context;
    }
    return {};
  }
  bool turned = std::any_of(factors.begin(), factors.end(), [](double v) { return v != 1; });
  if (turned) {
    config["rope_scaling"] = longrope(factors, factors, 1);
    if (config.contains(keys.context[0]))
      config["rope_scaling"]["original_max_position_embeddings"] = config[keys.context[0]];
    return {};
  }
  if (Json scaling = NB_TRY(scaling_of(f)); !scaling.is_null()) config["rope_scaling"] = scaling;
  return {};
}

}  // namespace nibble
