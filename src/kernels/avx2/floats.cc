#include "kernels/avx2/avx2.h"
#include "kernels/floats/ops.h"

namespace nibble::avx2 {

const FloatOps float_ops = kFloatOps;

}  // namespace nibble::avx2
