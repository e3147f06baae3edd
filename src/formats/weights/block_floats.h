// Matrices of FP8 or FP4 values whose blocks share scales: FP8 folders, MXFP4, NVFP4.
// Sources: OCP Microscaling Formats 1.0; github.com/vllm-project/compressed-tensors 0.20,
// compressors/nvfp4; transformers, integrations/finegrained_fp8.py.
#pragma once

#include <string>

#include "formats/checkpoint.h"

namespace nibble {

// Where the parts lie. Suffixes follow the module's name.
struct BlockFloats {
  const char* codes =
      ".weight";  // FP8 (n, k), or U8 of pairs of e2m1, (n, k / 2), low nibble first
  const char* scales = ".weight_scale";
  // Of a block, where scales are a matrix of more than one column: (ceil(n / rows), ceil(k /
  // columns)). Otherwise they are one, or one a row: their shape says it.
  int64_t rows = 1, columns = 1;
  bool exponents = false;  // scales of U8 are E8M0
  // One number for the matrix, or null: scales are multiplied by it, or divided.
  const char* global = nullptr;
  bool divide = false;
};

// Dtypes, shapes, and that scales are finite.
Status check_block_floats(const Checkpoint& checkpoint, const std::string& module,
                          const BlockFloats& form, int64_t n, int64_t k);
// F32 (n, k).
Result<TensorView> read_block_floats(const Checkpoint& checkpoint, const std::string& module,
                                     const BlockFloats& form, int64_t n, int64_t k);
int64_t block_floats_bytes(const Checkpoint& checkpoint, const std::string& module,
                           const BlockFloats& form);

}  // namespace nibble
