// Qwen 3: RMSNorm of each query and key head before the rotation, no biases by default.
#include "model/archs/arch.h"

namespace nibble {

Status configure_qwen_window(const ConfigReader& r, DecoderConfig& out);

extern const Architecture kArch_qwen3 = {
    "qwen3", "Qwen 3 (dense)", {}, [](const ConfigReader& r, DecoderConfig& out) -> Status {
      out.qk_norm = QkNorm::kHead;
      out.qkv_bias = out.out_bias = NB_TRY(r.flag("attention_bias", false));
      return configure_qwen_window(r, out);
    }};

}  // namespace nibble
