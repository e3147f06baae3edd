// Gemma 2: a window in every second layer, scores and logits kept within bounds.
#include "model/archs/arch.h"

namespace nibble {

Status configure_later_gemma(const ConfigReader& r, int64_t pattern, double softcap,
                             double logit_softcap, DecoderConfig& out);

extern const Architecture kArch_gemma2 = {"gemma2",
                                          "Gemma 2",
                                          {.activation = "hidden_activation",
                                           .usual_activation = "gelu_pytorch_tanh",
                                           .usual_head_dim = 256,
                                           .usually_tied = true},
                                          [](const ConfigReader& r, DecoderConfig& out) -> Status {
                                            return configure_later_gemma(r, 2, 50, 30, out);
                                          }};

}  // namespace nibble
