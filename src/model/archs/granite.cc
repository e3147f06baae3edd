// Granite: Llama with factors on embeddings, residual sums, scores and logits.
#include "model/archs/arch.h"

namespace nibble {

Status configure_llama(const ConfigReader& r, DecoderConfig& out);

extern const Architecture kArch_granite = {
    "granite", "Granite 3", {}, [](const ConfigReader& r, DecoderConfig& out) -> Status {
      NB_OK(configure_llama(r, out));
      out.embedding_scale = NB_TRY(r.positive("embedding_multiplier", 1));
      out.residual_scale = NB_TRY(r.positive("residual_multiplier", 1));
      out.logit_scale = 1 / NB_TRY(r.positive("logits_scaling", 1));
      double scale = NB_TRY(r.positive("attention_multiplier", 1));
      for (LayerConfig& layer : out.blocks) layer.attention_scale = scale;
      return {};
    }};

}  // namespace nibble
