// OLMo 2: norms behind attention and MLP and none before; all queries of a token, and all keys, are
// normed together.
#include "model/archs/arch.h"

namespace nibble {

extern const Architecture kArch_olmo2 = {
    "olmo2",
    "OLMo 2",
    {.usual_eps = 1e-5},
    [](const ConfigReader& r, DecoderConfig& out) -> Status {
      for (NormPlace place : {NormPlace::kAttentionIn, NormPlace::kMlpIn}) out.set(place, false);
      for (NormPlace place : {NormPlace::kAttentionOut, NormPlace::kMlpOut}) out.set(place, true);
      out.qk_norm = QkNorm::kRow;
      out.qkv_bias = out.out_bias = NB_TRY(r.flag("attention_bias", false));
      return {};
    }};

}  // namespace nibble
