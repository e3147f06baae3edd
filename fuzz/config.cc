// config.json: a decoder's fields, whatever family the file claims to be.
#include "model/config.h"

#include <cstdint>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace nibble;
  auto json = parse_json({reinterpret_cast<const char*>(data), size}, "config.json");
  if (!json) return 0;
  auto config = parse_config(*json, "config.json");
  if (!config) return 0;
  // What the rest of the program takes for granted.
  NB_CHECK(config->heads % config->kv_heads == 0);
  NB_CHECK(config->blocks.size() == static_cast<size_t>(config->layers));
  for (const LayerConfig& layer : config->blocks) {
    NB_CHECK(layer.rope < static_cast<int>(config->ropes.size()));
    NB_CHECK(layer.window >= 0 && std::isfinite(layer.attention_scale));
    NB_CHECK(layer.experts == 0 || config->experts_per_token <= layer.experts);
  }
  for (const RopeSpec& rope : config->ropes)
    NB_CHECK(rope.dims >= 2 && rope.dims <= config->head_dim && rope.dims % 2 == 0);
  return 0;
}
