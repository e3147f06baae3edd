// Llama 2 and 3, TinyLlama, SmolLM: RMSNorm, rotary, SiLU gate, optional biases.
#include "model/archs/arch.h"

namespace nibble {

Status configure_llama(const ConfigReader& r, DecoderConfig& out) {
  out.qkv_bias = out.out_bias = NB_TRY(r.flag("attention_bias", false));
  out.mlp_bias = NB_TRY(r.flag("mlp_bias", false));
  return {};
}

extern const Architecture kArch_llama = {
    "llama", "Llama 2/3, TinyLlama, SmolLM", {}, configure_llama};

}  // namespace nibble
