// Phi-1, 1.5 and 2: attention and MLP side by side behind one LayerNorm.
#include "model/archs/arch.h"

namespace nibble {

extern const Architecture kArch_phi = {"phi",
                                       "Phi-1, Phi-1.5, Phi-2",
                                       {.norm_eps = "layer_norm_eps",
                                        .usual_activation = "gelu_new",
                                        .usual_eps = 1e-5,
                                        .usual_rotary_share = .5},
                                       [](const ConfigReader& r, DecoderConfig& out) -> Status {
                                         out.norm = NormKind::kLayer;
                                         out.norm_bias = out.qk_norm_bias = true;
                                         out.parallel = true;
                                         out.set(NormPlace::kMlpIn, false);
                                         out.gated = false;
                                         out.qkv_bias = out.out_bias = out.mlp_bias =
                                             out.head_bias = true;
                                         if (NB_TRY(r.flag("qk_layernorm", false)))
                                           out.qk_norm = QkNorm::kHead;
                                         out.names.final_norm = "final_layernorm";
                                         out.names.of(NormPlace::kQuery) = "self_attn.q_layernorm";
                                         out.names.of(NormPlace::kKey) = "self_attn.k_layernorm";
                                         out.names.of(Role::kO) = "self_attn.dense";
                                         out.names.of(Role::kUp) = "mlp.fc1";
                                         out.names.of(Role::kDown) = "mlp.fc2";
                                         return {};
                                       }};

}  // namespace nibble
