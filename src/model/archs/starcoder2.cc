// StarCoder 2: LayerNorm, rotary, an MLP without a gate, biases everywhere.
#include "model/archs/arch.h"

namespace nibble {

extern const Architecture kArch_starcoder2 = {
    "starcoder2",
    "StarCoder 2",
    {.norm_eps = "norm_epsilon",
     .usual_activation = "gelu_pytorch_tanh",
     .usual_context = 4096,
     .usual_eps = 1e-5,
     .usually_tied = true},
    [](const ConfigReader& r, DecoderConfig& out) -> Status {
      out.norm = NormKind::kLayer;
      out.norm_bias = true;
      out.gated = false;
      out.qkv_bias = out.out_bias = out.mlp_bias = NB_TRY(r.flag("use_bias", true));
      int64_t window = NB_TRY(r.window(0));
      for (LayerConfig& layer : out.blocks) layer.window = window;
      out.names.of(Role::kUp) = "mlp.c_fc";
      out.names.of(Role::kDown) = "mlp.c_proj";
      return {};
    }};

}  // namespace nibble
