// Qwen 3: RMSNorm of each query and key head before the rotation, no biases by default.
#include "model/archs/arch.h"

namespace nibble {

Status configure_qwen_window(const Json& config, const std::string& what, DecoderConfig& out);

extern const Architecture kArch_qwen3 = {
    "qwen3", "Qwen 3 (dense)",
    [](const Json& config, const std::string& what, DecoderConfig& out) -> Status {
      out.qk_norm = true;
      out.qkv_bias = out.out_bias = NB_TRY(get_bool(config, "attention_bias", false, what));
      return configure_qwen_window(config, what, out);
    }};

}  // namespace nibble
