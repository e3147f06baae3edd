#include "model/roles.h"

namespace nibble {

std::vector<LinearSpec> block_linears(const DecoderConfig& c, int64_t layer) {
  std::string p = fmt::format("model.layers.{}.", layer);
  return {
      {Role::kQ, Stage::kQkv, p + "self_attn.q_proj", c.q_dim(), c.hidden, c.qkv_bias},
      {Role::kK, Stage::kQkv, p + "self_attn.k_proj", c.kv_dim(), c.hidden, c.qkv_bias},
      {Role::kV, Stage::kQkv, p + "self_attn.v_proj", c.kv_dim(), c.hidden, c.qkv_bias},
      {Role::kO, Stage::kOut, p + "self_attn.o_proj", c.hidden, c.q_dim(), c.out_bias},
      {Role::kGate, Stage::kGateUp, p + "mlp.gate_proj", c.mlp, c.hidden, c.mlp_bias},
      {Role::kUp, Stage::kGateUp, p + "mlp.up_proj", c.mlp, c.hidden, c.mlp_bias},
      {Role::kDown, Stage::kDown, p + "mlp.down_proj", c.hidden, c.mlp, c.mlp_bias},
  };
}

BlockNorms block_norms(const DecoderConfig& c, int64_t layer) {
  std::string p = fmt::format("model.layers.{}.", layer);
  BlockNorms norms{{p + "input_layernorm.weight", c.hidden},
                   {p + "post_attention_layernorm.weight", c.hidden},
                   {},
                   {}};
  if (c.qk_norm) {
    norms.query = {p + "self_attn.q_norm.weight", c.head_dim};
    norms.key = {p + "self_attn.k_norm.weight", c.head_dim};
  }
  return norms;
}

}  // namespace nibble
