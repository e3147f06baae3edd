// Qwen 2 and 2.5: biases on q, k and v only; a window only where use_sliding_window says so, and
// then only in the layers from max_window_layers on.
#include "model/archs/arch.h"

namespace nibble {

Status configure_qwen_window(const Json& config, const std::string& what, DecoderConfig& out) {
  if (!NB_TRY(get_bool(config, "use_sliding_window", false, what))) return {};
  int64_t window = NB_TRY(get_int(config, "sliding_window", 0, what));
  int64_t first = NB_TRY(get_int(config, "max_window_layers", out.layers, what));
  if (window < 0 || first < 0) return fail("{}: the sliding window's fields are negative", what);
  for (int64_t i = first; i < out.layers; ++i) out.windows[static_cast<size_t>(i)] = window;
  return {};
}

extern const Architecture kArch_qwen2 = {
    "qwen2", "Qwen 2, Qwen 2.5",
    [](const Json& config, const std::string& what, DecoderConfig& out) -> Status {
      out.qkv_bias = true;
      return configure_qwen_window(config, what, out);
    }};

}  // namespace nibble
