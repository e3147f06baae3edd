// A GGUF model as Weights reads any: config, tensors by the names that a folder of the family would
// have, and the form of those matrices that are not stored as such a folder stores them.
#pragma once

#include <memory>

#include "formats/gguf_model.h"
#include "formats/weights/weight_format.h"
#include "model/config.h"

namespace nibble {

// tensors of the checkpoint: vectors as float32 as a folder has them (a 1 + w norm is w); matrices
// where they lie in the file, rows in the file's order, block types as U8 (rows, bytes of a row).
struct GgufSource {
  Checkpoint checkpoint;
  DecoderConfig config;
  std::shared_ptr<const WeightFormat> format;
};

// Nothing is made float here but vectors. Errors name the tensor that is missing, has another shape
// or lies in a way that nibble does not read.
Result<GgufSource> open_gguf_source(const std::string& path);

}  // namespace nibble
