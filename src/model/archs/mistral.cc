// Mistral: Llama with a sliding window in every layer where config.json sets one.
#include "model/archs/arch.h"

namespace nibble {

extern const Architecture kArch_mistral = {"mistral",
                                           "Mistral 7B and its kin (sliding window)",
                                           {},
                                           [](const ConfigReader& r, DecoderConfig& out) -> Status {
                                             int64_t window = NB_TRY(r.window(4096));
                                             for (LayerConfig& layer : out.blocks)
                                               layer.window = window;
                                             return {};
                                           }};

}  // namespace nibble
