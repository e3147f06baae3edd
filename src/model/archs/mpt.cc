// MPT: ALiBi, LayerNorm without biases, one matrix for q, k and v.
#include "model/archs/arch.h"

namespace nibble {
namespace {

void name_modules(Names& names) {
  names.bases = {"transformer.", ""};
  names.embedding = "wte";
  names.layers = "blocks";
  names.final_norm = "norm_f";
  names.of(NormPlace::kAttentionIn) = "norm_1";
  names.of(NormPlace::kMlpIn) = "norm_2";
  names.of(Role::kQkv) = "attn.Wqkv";
  names.of(Role::kO) = "attn.out_proj";
  names.of(Role::kUp) = "ffn.up_proj";
  names.of(Role::kDown) = "ffn.down_proj";
}

Status configure(const ConfigReader& r, DecoderConfig& out) {
  name_modules(out.names);
  out.norm = NormKind::kLayer;
  out.qkv = QkvOrder::kBlocks;
  out.gated = false;
  out.activation = Activation::kGelu;
  out.alibi = Alibi::kMpt;
  if (!r.has("attn_config")) return {};
  ConfigReader attention = NB_TRY(r.object("attn_config"));
  out.clip_qkv = NB_TRY(attention.optional_positive("clip_qkv", 0));
  double scale = NB_TRY(attention.optional_positive("softmax_scale", 0));
  for (LayerConfig& layer : out.blocks) layer.attention_scale = scale;
  return {};
}

}  // namespace

extern const Architecture kArch_mpt = {"mpt",
                                       "MPT",
                                       {.hidden = {"d_model", "hidden_size"},
                                        .layers = {"n_layers", "num_hidden_layers"},
                                        .heads = {"n_heads", "num_attention_heads"},
                                        .kv_heads = {},
                                        .mlp = {"intermediate_size", "intermediate_size"},
                                        .context = {"max_seq_len", "max_position_embeddings"},
                                        .norm_eps = "layer_norm_epsilon",
                                        .usual_mlp = 4,
                                        .usual_eps = 1e-5,
                                        .rotary = false,
                                        .usually_tied = true},
                                       configure};

}  // namespace nibble
