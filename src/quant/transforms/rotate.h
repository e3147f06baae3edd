#pragma once

#include <optional>
#include <string>

#include "model/weights.h"

namespace nibble {

// Why a rotation of the residual stream would change what this model computes; null where not.
const char* rotation_obstacle(const DecoderConfig& config);

// Writes `source` with its residual stream and its value heads rotated into `folder`: an untied
// float checkpoint of the same function, linears and biases in F32, norms of one, embedding and
// head in `embedding_type` (none: as the source's embedding). Only one block is in memory.
Status rotate_model(const Weights& source, const std::string& folder, uint32_t seed,
                    std::optional<DType> embedding_type);

}  // namespace nibble
