// GPT-2: learned positions, LayerNorm, matrices stored (inputs, outputs).
#include "model/archs/arch.h"

namespace nibble {
namespace {

void name_modules(Names& names) {
  names.bases = {"transformer.", ""};
  names.embedding = "wte";
  names.positions = "wpe";
  names.layers = "h";
  names.final_norm = "ln_f";
  names.of(NormPlace::kAttentionIn) = "ln_1";
  names.of(NormPlace::kMlpIn) = "ln_2";
  names.of(Role::kQkv) = "attn.c_attn";
  names.of(Role::kO) = "attn.c_proj";
  names.of(Role::kUp) = "mlp.c_fc";
  names.of(Role::kDown) = "mlp.c_proj";
}

Status configure(const ConfigReader& r, DecoderConfig& out) {
  name_modules(out.names);
  out.norm = NormKind::kLayer;
  out.norm_bias = true;
  out.position_offset = 0;
  out.qkv = QkvOrder::kBlocks;
  out.conv1d = true;
  out.gated = false;
  out.qkv_bias = out.out_bias = out.mlp_bias = true;
  bool scaled = NB_TRY(r.flag("scale_attn_weights", true));
  bool by_layer = NB_TRY(r.flag("scale_attn_by_inverse_layer_idx", false));
  for (size_t i = 0; i < out.blocks.size(); ++i) {
    double scale = scaled ? 1 / std::sqrt(static_cast<double>(out.head_dim)) : 1;
    out.blocks[i].attention_scale = by_layer ? scale / static_cast<double>(i + 1) : scale;
  }
  return {};
}

}  // namespace

extern const Architecture kArch_gpt2 = {"gpt2",
                                        "GPT-2",
                                        {.hidden = {"n_embd", "hidden_size"},
                                         .layers = {"n_layer", "num_hidden_layers"},
                                         .heads = {"n_head", "num_attention_heads"},
                                         .kv_heads = {},
                                         .mlp = {"n_inner", "n_inner"},
                                         .context = {"n_positions", "n_ctx"},
                                         .norm_eps = "layer_norm_epsilon",
                                         .activation = "activation_function",
                                         .usual_activation = "gelu_new",
                                         .usual_mlp = 4,
                                         .usual_context = 1024,
                                         .usual_eps = 1e-5,
                                         .rotary = false,
                                         .usually_tied = true},
                                        configure};

}  // namespace nibble
