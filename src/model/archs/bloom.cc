// BLOOM: ALiBi, LayerNorm also behind the embedding, q, k and v of a head side by side.
#include "model/archs/arch.h"

namespace nibble {
namespace {

void name_modules(Names& names) {
  names.bases = {"transformer.", ""};
  names.embedding = "word_embeddings";
  names.embedding_norm = "word_embeddings_layernorm";
  names.layers = "h";
  names.final_norm = "ln_f";
  names.of(Role::kQkv) = "self_attention.query_key_value";
  names.of(Role::kO) = "self_attention.dense";
  names.of(Role::kUp) = "mlp.dense_h_to_4h";
  names.of(Role::kDown) = "mlp.dense_4h_to_h";
}

Status configure(const ConfigReader& r, DecoderConfig& out) {
  name_modules(out.names);
  out.norm = NormKind::kLayer;
  out.norm_bias = out.embedding_norm = true;
  out.residual_is_normed = NB_TRY(r.flag("apply_residual_connection_post_layernorm", false));
  out.alibi = Alibi::kBloom;
  out.qkv = QkvOrder::kGrouped;
  out.gated = false;
  out.activation = Activation::kGeluTanh;
  out.qkv_bias = out.out_bias = out.mlp_bias = true;
  return {};
}

}  // namespace

extern const Architecture kArch_bloom = {"bloom",
                                         "BLOOM, BLOOMZ",
                                         {.hidden = {"hidden_size", "n_embed"},
                                          .layers = {"n_layer", "num_hidden_layers"},
                                          .heads = {"n_head", "num_attention_heads"},
                                          .kv_heads = {},
                                          .context = {"seq_length", "max_position_embeddings"},
                                          .norm_eps = "layer_norm_epsilon",
                                          .usual_mlp = 4,
                                          .usual_eps = 1e-5,
                                          .rotary = false,
                                          .usually_tied = true},
                                         configure};

}  // namespace nibble
