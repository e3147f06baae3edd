// Falcon in its three forms: 7B (one head of keys, attention and MLP side by side behind one norm),
// 40B and 180B (groups of heads, a norm each), RW (ALiBi, one after the other, biases).
#include "model/archs/arch.h"

namespace nibble {
namespace {

void name_modules(Names& names) {
  names.bases = {"transformer.", ""};
  names.embedding = "word_embeddings";
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
  out.norm_bias = true;
  out.gated = false;
  out.qkv = QkvOrder::kGrouped;
  out.qkv_bias = out.out_bias = out.mlp_bias = NB_TRY(r.flag("bias", false));
  bool grouped = NB_TRY(r.flag("new_decoder_architecture", false));
  if (!grouped) out.kv_heads = NB_TRY(r.flag("multi_query", true)) ? 1 : out.heads;
  out.parallel = grouped || NB_TRY(r.flag("parallel_attn", true));
  if (grouped && NB_TRY(r.count("num_ln_in_parallel_attn", 2)) == 2) {
    out.names.of(NormPlace::kAttentionIn) = "ln_attn";
    out.names.of(NormPlace::kMlpIn) = "ln_mlp";
  } else {
    out.set(NormPlace::kMlpIn, !out.parallel);
  }
  if (!NB_TRY(r.flag("alibi", false))) return {};
  out.alibi = Alibi::kFalcon;
  // Falcon-RW was trained with its biases once. transformers 5 with eager attention, which is our
  // reference for checkpoints that it saves, adds them twice: to the scores and in the mask.
  if (NB_TRY(r.text("transformers_version", "")).starts_with("5.")) out.alibi_factor = 2;
  out.ropes.clear();
  return {};
}

}  // namespace

extern const Architecture kArch_falcon = {"falcon",
                                          "Falcon 7B, 40B, 180B, RW",
                                          {.kv_heads = {"num_kv_heads", "n_head_kv"},
                                           .mlp = {"ffn_hidden_size", "ffn_hidden_size"},
                                           .norm_eps = "layer_norm_epsilon",
                                           .activation = "activation",
                                           .usual_activation = "gelu",
                                           .usual_mlp = 4,
                                           .usual_eps = 1e-5,
                                           .usually_tied = true},
                                          configure};

}  // namespace nibble
