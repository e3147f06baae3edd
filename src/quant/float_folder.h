// Any model that Weights opens, written back as a folder of plain floats.
#pragma once

#include "base/file.h"
#include "model/weights.h"

namespace nibble {

struct FloatFolderReport {
  int64_t quantized = 0;  // matrices that were dequantized
  int64_t bytes = 0;      // of all tensors
};

// Writes config.json without its quantization, weights and side files; one tensor at a time is
// held. type: kF32, kF16 or kBF16; values past the largest float16 are refused.
Result<FloatFolderReport> write_float_folder(OutputFolder& out, const Weights& weights, DType type);

}  // namespace nibble
