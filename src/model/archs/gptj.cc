// GPT-J: attention and MLP side by side behind one LayerNorm, neighbouring numbers of a head
// rotated as pairs.
#include "model/archs/arch.h"

namespace nibble {
namespace {

void name_modules(Names& names) {
  names.bases = {"transformer.", ""};
  names.embedding = "wte";
  names.layers = "h";
  names.final_norm = "ln_f";
  names.of(NormPlace::kAttentionIn) = "ln_1";
  names.of(Role::kQ) = "attn.q_proj";
  names.of(Role::kK) = "attn.k_proj";
  names.of(Role::kV) = "attn.v_proj";
  names.of(Role::kO) = "attn.out_proj";
  names.of(Role::kUp) = "mlp.fc_in";
  names.of(Role::kDown) = "mlp.fc_out";
}

Status configure(const ConfigReader& r, DecoderConfig& out) {
  name_modules(out.names);
  out.norm = NormKind::kLayer;
  out.norm_bias = true;
  out.parallel = true;
  out.set(NormPlace::kMlpIn, false);
  out.gated = false;
  out.mlp_bias = out.head_bias = true;
  RopeSpec rope;
  rope.interleaved = true;
  rope.dims = NB_TRY(r.count("rotary_dim", r.names("rotary_dim") ? out.head_dim : 64));
  if (rope.dims > out.head_dim || rope.dims % 2 != 0)
    return fail("{}: \"rotary_dim\" is {} of heads of {}", r.what(), rope.dims, out.head_dim);
  out.ropes = {rope};
  return {};
}

}  // namespace

extern const Architecture kArch_gptj = {"gptj",
                                        "GPT-J",
                                        {.hidden = {"n_embd", "hidden_size"},
                                         .layers = {"n_layer", "num_hidden_layers"},
                                         .heads = {"n_head", "num_attention_heads"},
                                         .kv_heads = {},
                                         .mlp = {"n_inner", "n_inner"},
                                         .context = {"n_positions", "max_position_embeddings"},
                                         .norm_eps = "layer_norm_epsilon",
                                         .activation = "activation_function",
                                         .usual_activation = "gelu_new",
                                         .usual_mlp = 4,
                                         .usual_eps = 1e-5,
                                         .rotary = false},
                                        configure};

}  // namespace nibble
