#include "kernels/floats/ops.h"

namespace nibble {

extern const FloatOps float_ops_reference;
const FloatOps float_ops_reference = kFloatOps;

}  // namespace nibble
