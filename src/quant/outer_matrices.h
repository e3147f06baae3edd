// The embedding and the head of a job: what lies outside the blocks.
#pragma once

#include "quant/artifact.h"

namespace nibble {

// The embedding as the quantized model reads it; what it stores is added to `tensors`.
Result<Embedding> quantize_embedding(const Weights& weights, ArtifactRecord& record,
                                     std::vector<NamedTensor>& tensors);

// What the head stores, if it has a matrix of its own to quantize or to untie.
Status quantize_head(const Weights& weights, ArtifactRecord& record,
                     std::vector<NamedTensor>& tensors);

}  // namespace nibble
