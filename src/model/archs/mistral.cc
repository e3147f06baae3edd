// Mistral: Llama with a sliding window in every layer where config.json sets one.
#include "model/archs/arch.h"

namespace nibble {

extern const Architecture kArch_mistral = {
    "mistral", "Mistral 7B and its kin (sliding window)",
    [](const Json& config, const std::string& what, DecoderConfig& out) -> Status {
      int64_t window = NB_TRY(get_int(config, "sliding_window", 0, what));
      if (window < 0) return fail("{}: \"sliding_window\" is {}", what, window);
      out.windows.assign(static_cast<size_t>(out.layers), window);
      return {};
    }};

}  // namespace nibble
