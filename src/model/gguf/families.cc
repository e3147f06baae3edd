// Each architecture's own metadata. Source: ggml-org/llama.cpp, conversion/ (what its converter
// writes) and src/models/ (what it assumes where a file is silent).
#include <algorithm>
#include <array>
#include <cmath>

#include "model/gguf/family.h"
#include "model/gguf/rope_config.h"

namespace nibble {
namespace {

Result<int64_t> layers_of(const GgufFields& f) {
  constexpr int64_t kMost = 10'000;
  int64_t layers = NB_TRY(f.need_integer("block_count"));
  if (layers < 1 || layers > kMost) return fail("{}: has {} blocks", f.path(), layers);
  return layers;
}

Result<Json> window_of(const GgufFields& f) {
  auto window = NB_TRY(f.integer("attention.sliding_window"));
  return window && *window > 0 ? Json(*window) : Json(nullptr);
}

Status llama(const GgufFields& f, Json& c) {
  c["attention_bias"] = f.has_tensor("blk.0.attn_q.bias");
  c["mlp_bias"] = f.has_tensor("blk.0.ffn_up.bias");
  return {};
}

Status mistral(const GgufFields& f, Json& c) {
  c["sliding_window"] = NB_TRY(window_of(f));
  return {};
}

Status mixtral(const GgufFields& f, Json& c) {
  c["sliding_window"] = NB_TRY(window_of(f));
  c["num_local_experts"] = NB_TRY(f.need_integer("expert_count"));
  c["num_experts_per_tok"] = NB_TRY(f.need_integer("expert_used_count"));
  return {};
}

Status qwen3_moe(const GgufFields& f, Json& c) {
  c["num_experts"] = NB_TRY(f.need_integer("expert_count"));
  c["num_experts_per_tok"] = NB_TRY(f.need_integer("expert_used_count"));
  c["moe_intermediate_size"] = NB_TRY(f.need_integer("expert_feed_forward_length"));
  c["norm_topk_prob"] = NB_TRY(f.flag("expert_weights_norm")).value_or(true);
  c["attention_bias"] = false;
  c["decoder_sparse_step"] = 1;
  Json dense = Json::array();
  for (int64_t i = 0, layers = NB_TRY(layers_of(f)); i < layers; ++i)
    if (!f.has_tensor(fmt::format("blk.{}.ffn_gate_inp.weight", i))) dense.push_back(i);
  c["mlp_only_layers"] = dense;
  return {};
}

Status qwen3(const GgufFields&, Json& c) {
  c["attention_bias"] = false;
  return {};
}

// The largest Gemma 2 and 3 scale scores by another width, which only their depth gives away.
Status set_score_scale(const GgufFields& f, int64_t layers_of_largest, Json& c) {
  int64_t width = NB_TRY(gguf_head_dim(f));
  if (NB_TRY(layers_of(f)) == layers_of_largest)
    width = NB_TRY(f.need_integer("embedding_length")) /
            std::max<int64_t>(1, NB_TRY(f.need_integer("attention.head_count")));
  c["query_pre_attn_scalar"] = width;
  return {};
}

Status set_layer_types(const GgufFields& f, int64_t pattern, Json& c) {
  if (pattern < 1) return fail("{}: has a window in {} layers of each", f.path(), pattern);
  Json types = Json::array();
  for (int64_t i = 0, layers = NB_TRY(layers_of(f)); i < layers; ++i)
    types.push_back((i + 1) % pattern == 0 ? "full_attention" : "sliding_attention");
  c["layer_types"] = types;
  c["sliding_window"] = NB_TRY(window_of(f));
  return {};
}

Status gemma2(const GgufFields& f, Json& c) {
  auto scores = NB_TRY(f.number("attn_logit_softcapping"));
  auto logits = NB_TRY(f.number("final_logit_softcapping"));
  c["attn_logit_softcapping"] = scores ? Json(*scores) : Json(nullptr);
  c["final_logit_softcapping"] = logits ? Json(*logits) : Json(nullptr);
  NB_OK(set_layer_types(f, 2, c));
  return set_score_scale(f, 46, c);
}

Status gemma3(const GgufFields& f, Json& c) {
  Json rope;
  static constexpr ConfigKeys kKeys;
  NB_OK(set_gguf_rope(f, kKeys, rope));
  c["rope_theta"] = rope.contains("rope_theta") ? rope["rope_theta"] : Json(1e6);
  c["rope_local_base_freq"] = NB_TRY(f.number("rope.freq_base_swa")).value_or(10000);
  if (rope.contains("rope_scaling")) c["rope_scaling"] = rope["rope_scaling"];
  auto logits = NB_TRY(f.number("final_logit_softcapping"));
  c["final_logit_softcapping"] = logits ? Json(*logits) : Json(nullptr);
  NB_OK(set_layer_types(f, NB_TRY(f.integer("attention.sliding_window_pattern")).value_or(6), c));
  return set_score_scale(f, 62, c);
}

Status phi3(const GgufFields& f, Json& c) {
  c["sliding_window"] = NB_TRY(window_of(f));
  return {};
}

Status falcon(const GgufFields& f, Json& c) {
  int64_t shared = NB_TRY(f.integer("attention.head_count_kv")).value_or(1);
  bool two_norms = f.has_tensor("blk.0.attn_norm_2.weight"), newer = two_norms || shared > 1;
  c["new_decoder_architecture"] = newer;
  if (newer) c["num_ln_in_parallel_attn"] = two_norms ? 2 : 1;
  if (!newer) c.erase("num_kv_heads");
  c["multi_query"] = !newer;
  c["parallel_attn"] = true;
  c["alibi"] = false;
  c["bias"] = f.has_tensor("blk.0.attn_qkv.bias");
  return {};
}

Status gpt_neox(const GgufFields& f, Json& c) {
  static constexpr ConfigKeys kKeys;
  Json rope;
  NB_OK(set_gguf_rope(f, kKeys, rope));
  if (rope.contains("rope_theta")) c["rotary_emb_base"] = rope["rope_theta"];
  if (rope.contains("rope_scaling")) c["rope_scaling"] = rope["rope_scaling"];
  c["rotary_pct"] = NB_TRY(gguf_rotary_share(f)).value_or(1);
  c["attention_bias"] = f.has_tensor("blk.0.attn_qkv.bias");
  c["use_parallel_residual"] = NB_TRY(f.flag("use_parallel_residual")).value_or(true);
  return {};
}

Status gptj(const GgufFields& f, Json& c) {
  c["rotary_dim"] = NB_TRY(f.need_integer("rope.dimension_count"));
  return {};
}

Status mpt(const GgufFields& f, Json& c) {
  constexpr double kUsual = 8;  // what the family's slopes are made for
  if (double most = NB_TRY(f.number("attention.max_alibi_bias")).value_or(0); most != kUsual)
    return fail("{}: an ALiBi of at most {} is not known, only {}", f.path(), most, kUsual);
  auto clip = NB_TRY(f.number("attention.clamp_kqv"));
  c["attn_config"] = {{"alibi", true},
                      {"alibi_bias_max", 8},
                      {"clip_qkv", clip && *clip > 0 ? Json(*clip) : Json(nullptr)}};
  return {};
}

Status stablelm(const GgufFields& f, Json& c) {
  c["use_parallel_residual"] = !f.has_tensor("blk.0.ffn_norm.weight");
  c["use_qkv_bias"] = f.has_tensor("blk.0.attn_q.bias");
  c["qk_layernorm"] = f.has_tensor("blk.0.attn_q_norm.weight");
  if (!c.contains("partial_rotary_factor")) c["partial_rotary_factor"] = 1;
  return {};
}

Status phi(const GgufFields& f, Json& c) {
  c["qk_layernorm"] = f.has_tensor("blk.0.attn_q_norm.weight");
  if (!c.contains("partial_rotary_factor")) c["partial_rotary_factor"] = 1;
  return {};
}

Status olmo2(const GgufFields& f, Json& c) {
  if (!NB_TRY(window_of(f)).is_null())
    return fail("{}: is an OLMo 3, which is not known; known: OLMo 2", f.path());
  c["attention_bias"] = f.has_tensor("blk.0.attn_q.bias");
  return {};
}

Status granite(const GgufFields& f, Json& c) {
  NB_OK(llama(f, c));
  auto width = static_cast<double>(NB_TRY(gguf_head_dim(f)));
  c["attention_multiplier"] = NB_TRY(f.number("attention.scale")).value_or(1 / std::sqrt(width));
  c["embedding_multiplier"] = NB_TRY(f.number("embedding_scale")).value_or(1);
  c["residual_multiplier"] = NB_TRY(f.number("residual_scale")).value_or(1);
  c["logits_scaling"] = NB_TRY(f.number("logit_scale")).value_or(1);
  return {};
}

Status smollm3(const GgufFields& f, Json& c) {
  c["no_rope_layer_interval"] = 4;
  c["use_sliding_window"] = false;
  return llama(f, c);
}

Status starcoder2(const GgufFields& f, Json& c) {
  c["use_bias"] = f.has_tensor("blk.0.attn_q.bias");
  c["sliding_window"] = NB_TRY(window_of(f));
  return {};
}

constexpr std::array kFamilies = {
    GgufFamily{"llama", "llama", "LlamaForCausalLM", true, llama},
    GgufFamily{"qwen2", "qwen2", "Qwen2ForCausalLM"},
    GgufFamily{"qwen3", "qwen3", "Qwen3ForCausalLM", false, qwen3},
    GgufFamily{"qwen3moe", "qwen3_moe", "Qwen3MoeForCausalLM", false, qwen3_moe},
    GgufFamily{"smollm3", "smollm3", "SmolLM3ForCausalLM", true, smollm3},
    GgufFamily{"granite", "granite", "GraniteForCausalLM", true, granite},
    GgufFamily{"gemma", "gemma", "GemmaForCausalLM"},
    GgufFamily{"gemma2", "gemma2", "Gemma2ForCausalLM", false, gemma2},
    GgufFamily{"gemma3", "gemma3_text", "Gemma3ForCausalLM", false, gemma3},
    GgufFamily{"phi2", "phi", "PhiForCausalLM", false, phi},
    GgufFamily{"phi3", "phi3", "Phi3ForCausalLM", false, phi3},
    GgufFamily{"falcon", "falcon", "FalconForCausalLM", false, falcon},
    GgufFamily{"bloom", "bloom", "BloomForCausalLM"},
    GgufFamily{"gpt2", "gpt2", "GPT2LMHeadModel"},
    GgufFamily{"gptneox", "gpt_neox", "GPTNeoXForCausalLM", false, gpt_neox},
    GgufFamily{"gptj", "gptj", "GPTJForCausalLM", false, gptj},
    GgufFamily{"mpt", "mpt", "MPTForCausalLM", false, mpt},
    GgufFamily{"stablelm", "stablelm", "StableLmForCausalLM", false, stablelm},
    GgufFamily{"olmo2", "olmo2", "Olmo2ForCausalLM", false, olmo2},
    GgufFamily{"starcoder2", "starcoder2", "Starcoder2ForCausalLM", false, starcoder2},
};
// What the converter also calls llama.
constexpr GgufFamily kMixtral = {"llama", "mixtral", "MixtralForCausalLM", true, mixtral};
constexpr GgufFamily kMistral = {"llama", "mistral", "MistralForCausalLM", true, mistral};

}  // namespace

const GgufFamily* gguf_family_of(std::string_view model_type) {
  for (const GgufFamily* one : {&kMixtral, &kMistral})
    if (model_type == one->model_type) return one;
  auto it = std::ranges::find_if(kFamilies,
                                 [&](const GgufFamily& f) { return model_type == f.model_type; });
  return it == kFamilies.end() ? nullptr : it;
}

Result<const GgufFamily*> gguf_family(const GgufFields& f) {
  std::string known;
  for (const GgufFamily& family : kFamilies) {
    if (f.architecture() == family.architecture) {
      if (family.configure != llama) return &family;
      if (NB_TRY(f.integer("expert_count")).value_or(0) > 0) return &kMixtral;
      return NB_TRY(f.integer("attention.sliding_window")).value_or(0) > 0 ? &kMistral : &family;
    }
    known += (known.empty() ? "" : ", ") + std::string(family.architecture);
  }
  return fail("{}: architecture {} is not known; known of GGUF: {}", f.path(),
              in_quotes(f.architecture()), known);
}

}  // namespace nibble
