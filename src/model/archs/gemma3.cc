// Gemma 3: Gemma 2 with norms of queries and keys, and a rotation of its own in the layers with a
// window. The 4 B model and larger ones keep these fields in "text_config".
#include "model/archs/arch.h"

namespace nibble {

Status configure_later_gemma(const ConfigReader& r, int64_t pattern, double softcap,
                             double logit_softcap, DecoderConfig& out);

namespace {

// The rotation of one kind of layer. `key`: what transformers 4 called its base.
Result<RopeSpec> rope_of(const ConfigReader& r, const char* kind, const char* key, double theta,
                         const DecoderConfig& c) {
  theta = NB_TRY(r.positive(key, theta));
  static const Json kNothing = Json::object();
  ConfigReader fields(kNothing, r.what());
  if (r.has("rope_parameters")) {
    ConfigReader kinds = NB_TRY(r.object("rope_parameters"));
    if (kinds.has(kind)) fields = NB_TRY(kinds.object(kind));
  } else if (r.has("rope_scaling") && std::string(kind) == "full_attention") {
    fields = NB_TRY(r.object("rope_scaling"));
  }
  return fields.rope(ConfigReader(kNothing, r.what()), c.head_dim, c.context, theta, 1);
}

Status configure(const ConfigReader& r, DecoderConfig& out) {
  constexpr std::array kPattern = {"sliding_window_pattern", "_sliding_window_pattern"};
  int64_t pattern = NB_TRY(r.count(r.first(kPattern), 6));
  NB_OK(configure_later_gemma(r, pattern, 0, 0, out));
  out.qk_norm = QkNorm::kHead;
  out.ropes = {NB_TRY(rope_of(r, "full_attention", "rope_theta", 1e6, out)),
               NB_TRY(rope_of(r, "sliding_attention", "rope_local_base_freq", 1e4, out))};
  // By the kind of the layer, which a window of 0 would not tell.
  std::vector<LayerConfig> kinds = std::move(out.blocks);
  out.blocks.assign(kinds.size(), {});
  auto sliding = [=](int64_t layer) { return (layer + 1) % pattern != 0; };
  NB_OK(r.windows(1, sliding, out));
  for (size_t i = 0; i < kinds.size(); ++i) kinds[i].rope = out.blocks[i].window > 0 ? 1 : 0;
  out.blocks = std::move(kinds);
  return {};
}

constexpr ConfigKeys kKeys = {.activation = "hidden_activation",
                              .usual_activation = "gelu_pytorch_tanh",
                              .usual_head_dim = 256,
                              .usual_context = 131072,
                              .rotary = false,
                              .usually_tied = true};

}  // namespace

extern const Architecture kArch_gemma3_text = {"gemma3_text", "Gemma 3", kKeys, configure};

}  // namespace nibble
