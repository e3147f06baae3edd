// Phi-3, 3.5 and 4-mini: Llama with one matrix for q, k and v and one for gate and up.
#include "model/archs/arch.h"

namespace nibble {

extern const Architecture kArch_phi3 = {"phi3",
                                        "Phi-3, Phi-3.5, Phi-4-mini",
                                        {.usual_context = 4096, .usual_eps = 1e-5},
                                        [](const ConfigReader& r, DecoderConfig& out) -> Status {
                                          out.qkv = QkvOrder::kBlocks;
                                          out.fused_gate_up = true;
                                          int64_t window = NB_TRY(r.window(0));
                                          for (LayerConfig& layer : out.blocks)
                                            layer.window = window;
                                          return {};
                                        }};

}  // namespace nibble
