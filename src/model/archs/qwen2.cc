// Qwen 2 and 2.5: biases on q, k and v only; a window only where use_sliding_window says so, and
// then only in the layers from max_window_layers on.
#include "model/archs/arch.h"

namespace nibble {

Status configure_qwen_window(const ConfigReader& r, DecoderConfig& out) {
  if (!NB_TRY(r.flag("use_sliding_window", false))) return {};
  int64_t window = NB_TRY(r.window(4096));
  int64_t first = NB_TRY(get_int(r.json(), "max_window_layers", 28, r.what()));
  return r.windows(window, [=](int64_t layer) { return layer >= first; }, out);
}

extern const Architecture kArch_qwen2 = {
    "qwen2", "Qwen 2, Qwen 2.5", {}, [](const ConfigReader& r, DecoderConfig& out) -> Status {
      out.qkv_bias = true;
      return configure_qwen_window(r, out);
    }};

}  // namespace nibble
