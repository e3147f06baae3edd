// GPT-NeoX and Pythia: a quarter of each head rotated, attention and MLP side by side, each behind
// a LayerNorm of its own, or one after the other.
#include "model/archs/arch.h"

namespace nibble {
namespace {

void name_modules(Names& names) {
  names.bases = {"gpt_neox.", ""};
  names.embedding = "embed_in";
  names.final_norm = "final_layer_norm";
  names.head = "embed_out";
  names.of(Role::kQkv) = "attention.query_key_value";
  names.of(Role::kO) = "attention.dense";
  names.of(Role::kUp) = "mlp.dense_h_to_4h";
  names.of(Role::kDown) = "mlp.dense_4h_to_h";
}

Status configure(const ConfigReader& r, DecoderConfig& out) {
  name_modules(out.names);
  out.norm = NormKind::kLayer;
  out.norm_bias = true;
  out.qkv = QkvOrder::kGrouped;
  out.gated = false;
  out.qkv_bias = out.out_bias = NB_TRY(r.flag("attention_bias", true));
  out.mlp_bias = true;
  out.parallel = NB_TRY(r.flag("use_parallel_residual", true));
  double theta = NB_TRY(r.positive("rotary_emb_base", 10000));
  double share = NB_TRY(r.positive("rotary_pct", .25));
  out.ropes = {NB_TRY(r.rope(out.head_dim, out.context, theta, share))};
  return {};
}

}  // namespace

extern const Architecture kArch_gpt_neox = {"gpt_neox",
                                            "GPT-NeoX, Pythia",
                                            {.kv_heads = {},
                                             .norm_eps = "layer_norm_eps",
                                             .usual_activation = "gelu",
                                             .usual_eps = 1e-5,
                                             .rotary = false},
                                            configure};

}  // namespace nibble
