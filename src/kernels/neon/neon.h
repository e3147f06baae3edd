// What the ARM tables with more than NEON share with it.
#pragma once

#include "kernels/table.h"

namespace nibble {

// Its vectors are NEON on every ARM: see floats/lanes.h.
extern const FloatOps float_ops_reference;

namespace neon {

float quantize_row(const float* x, int64_t k, bool per_token, int8_t* codes, int32_t* multipliers,
                   int32_t* sums);

}  // namespace neon
}  // namespace nibble
