// The rotation as config.json says it.
#pragma once

#include "model/archs/arch.h"
#include "model/gguf/fields.h"

namespace nibble {

// Width of a head: that of the metadata, else hidden / heads as the config has them.
Result<int64_t> gguf_head_dim(const GgufFields& f);
// The share of a head that is rotated; nothing where all of it is, or the metadata do not say.
Result<std::optional<double>> gguf_rotary_share(const GgufFields& f);

// Adds rope_theta, partial_rotary_factor and rope_scaling. Factors that a file holds for each
// frequency (rope_freqs.weight, which is how it has Llama 3's scaling) become a longrope whose
// short and long factors are the same.
Status set_gguf_rope(const GgufFields& f, const ConfigKeys& keys, Json& config);

}  // namespace nibble
