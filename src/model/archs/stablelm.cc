// StableLM: Llama with LayerNorm, a quarter of each head rotated, attention and MLP side by side in
// some models.
#include "model/archs/arch.h"

namespace nibble {

extern const Architecture kArch_stablelm = {
    "stablelm",
    "StableLM",
    {.norm_eps = "layer_norm_eps",
     .usual_context = 4096,
     .usual_eps = 1e-5,
     .usual_rotary_share = .25},
    [](const ConfigReader& r, DecoderConfig& out) -> Status {
      out.norm = NormKind::kLayer;
      out.norm_bias = true;
      out.qkv_bias = NB_TRY(r.flag("use_qkv_bias", false));
      out.parallel = NB_TRY(r.flag("use_parallel_residual", false));
      out.set(NormPlace::kMlpIn, !out.parallel);
      if (NB_TRY(r.flag("qk_layernorm", false))) out.qk_norm = QkNorm::kEachHead;
      out.names.of(NormPlace::kQuery) = "self_attn.q_layernorm";
      out.names.of(NormPlace::kKey) = "self_attn.k_layernorm";
      return {};
    }};

}  // namespace nibble
