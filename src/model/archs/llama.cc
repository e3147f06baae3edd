// Llama 2 and 3, TinyLlama, SmolLM: RMSNorm, rotary, SiLU gate, optional biases.
#include "model/archs/arch.h"

namespace nibble {

extern const Architecture kArch_llama = {
    "llama", "Llama 2/3, TinyLlama, SmolLM",
    [](const Json& config, const std::string& what, DecoderConfig& out) -> Status {
      bool attention = NB_TRY(get_bool(config, "attention_bias", false, what));
      out.qkv_bias = out.out_bias = attention;
      out.mlp_bias = NB_TRY(get_bool(config, "mlp_bias", false, what));
      return {};
    }};

}  // namespace nibble
