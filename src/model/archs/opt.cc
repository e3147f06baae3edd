// OPT: learned positions from row 2 on, ReLU; the 350m model norms behind the residual sums and
// keeps narrower embeddings.
#include "model/archs/arch.h"

namespace nibble {
namespace {

void name_modules(Names& names) {
  names.bases = {"model.decoder.", "decoder.", ""};
  names.positions = "embed_positions";
  names.project_in = "project_in";
  names.project_out = "project_out";
  names.final_norm = "final_layer_norm";
  for (NormPlace place : {NormPlace::kAttentionIn, NormPlace::kAttentionAfter})
    names.of(place) = "self_attn_layer_norm";
  for (NormPlace place : {NormPlace::kMlpIn, NormPlace::kMlpAfter})
    names.of(place) = "final_layer_norm";
  names.of(Role::kO) = "self_attn.out_proj";
  names.of(Role::kUp) = "fc1";
  names.of(Role::kDown) = "fc2";
}

Status configure(const ConfigReader& r, DecoderConfig& out) {
  name_modules(out.names);
  out.norm = NormKind::kLayer;
  out.norm_weight = out.norm_bias = NB_TRY(r.flag("layer_norm_elementwise_affine", true));
  bool before = NB_TRY(r.flag("do_layer_norm_before", true));
  for (NormPlace place : {NormPlace::kAttentionIn, NormPlace::kMlpIn}) out.set(place, before);
  for (NormPlace place : {NormPlace::kAttentionAfter, NormPlace::kMlpAfter})
    out.set(place, !before);
  out.final_norm = before && !NB_TRY(r.flag("_remove_final_layer_norm", false));
  out.position_offset = 2;
  out.gated = false;
  out.qkv_bias = out.out_bias = out.mlp_bias = NB_TRY(r.flag("enable_bias", true));
  out.embedding_width = NB_TRY(r.count("word_embed_proj_dim", out.hidden));
  return {};
}

}  // namespace

extern const Architecture kArch_opt = {"opt",
                                       "OPT",
                                       {.kv_heads = {},
                                        .mlp = {"ffn_dim", "ffn_dim"},
                                        .norm_eps = "layer_norm_eps",
                                        .activation = "activation_function",
                                        .usual_activation = "relu",
                                        .usual_eps = 1e-5,
                                        .rotary = false,
                                        .usually_tied = true},
                                       configure};

}  // namespace nibble
