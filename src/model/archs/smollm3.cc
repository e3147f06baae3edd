// SmolLM 3: Llama without rotation in every fourth layer.
#include "model/archs/arch.h"

namespace nibble {

Status configure_llama(const ConfigReader& r, DecoderConfig& out);

namespace {

Status configure(const ConfigReader& r, DecoderConfig& out) {
  NB_OK(configure_llama(r, out));
  int64_t interval = NB_TRY(r.count("no_rope_layer_interval", 4));
  std::vector<double> listed;
  if (r.has("no_rope_layers")) {
    listed = NB_TRY(r.numbers("no_rope_layers"));
    if (listed.size() != out.blocks.size())
      return fail("{}: \"no_rope_layers\" should list {} layers", r.what(), out.blocks.size());
  }
  for (size_t i = 0; i < out.blocks.size(); ++i) {
    bool rotated = listed.empty() ? (static_cast<int64_t>(i) + 1) % interval != 0 : listed[i] != 0;
    if (!rotated) out.blocks[i].rope = -1;
  }
  if (!NB_TRY(r.flag("use_sliding_window", false))) return {};
  auto unrotated = [&](int64_t layer) { return out.blocks[static_cast<size_t>(layer)].rope < 0; };
  return r.windows(NB_TRY(r.window(0)), unrotated, out);
}

}  // namespace

extern const Architecture kArch_smollm3 = {
    "smollm3", "SmolLM 3", {.usual_theta = 2e6, .usually_tied = true}, configure};

}  // namespace nibble
