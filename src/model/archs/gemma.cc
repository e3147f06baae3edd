// Gemma: norms of 1 + w, embeddings times the root of their width, a gate of tanh-GELU.
#include "model/archs/arch.h"

namespace nibble {

Status configure_gemma(const ConfigReader& r, DecoderConfig& out) {
  out.norm = NormKind::kRmsPlusOne;
  out.embedding_scale = std::sqrt(static_cast<float>(out.hidden));
  out.qkv_bias = out.out_bias = NB_TRY(r.flag("attention_bias", false));
  if (NB_TRY(r.flag("use_bidirectional_attention", false)))
    return fail("{}: attention to later tokens is not known", r.what());
  return {};
}

// Gemma 2 and 3: norms before and behind attention and MLP, windows in some layers.
Status configure_later_gemma(const ConfigReader& r, int64_t pattern, double softcap,
                             double logit_softcap, DecoderConfig& out) {
  NB_OK(configure_gemma(r, out));
  for (NormPlace place : {NormPlace::kAttentionOut, NormPlace::kMlpOut}) out.set(place, true);
  out.names.of(NormPlace::kMlpIn) = "pre_feedforward_layernorm";
  out.score_softcap = NB_TRY(r.optional_positive("attn_logit_softcapping", softcap));
  out.logit_softcap = NB_TRY(r.optional_positive("final_logit_softcapping", logit_softcap));
  double scalar = NB_TRY(r.positive("query_pre_attn_scalar", 256));
  for (LayerConfig& layer : out.blocks) layer.attention_scale = 1 / std::sqrt(scalar);
  auto sliding = [=](int64_t layer) { return (layer + 1) % pattern != 0; };
  return r.windows(NB_TRY(r.window(4096)), sliding, out);
}

extern const Architecture kArch_gemma = {
    "gemma",
    "Gemma",
    {.usual_activation = "gelu_pytorch_tanh", .usual_head_dim = 256, .usually_tied = true},
    [](const ConfigReader& r, DecoderConfig& out) -> Status {
      // Its first files say gelu and mean the approximation.
      if (out.activation == Activation::kGelu) out.activation = Activation::kGeluTanh;
      return configure_gemma(r, out);
    }};

}  // namespace nibble
