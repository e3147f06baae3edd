#include "kernels/floats/ops.h"

namespace nibble::avx512vnni {

// 32 registers: attention shares the loads of keys and values between twice as many queries.
extern const FloatOps float_ops;
const FloatOps float_ops = kFloatOps;

}  // namespace nibble::avx512vnni
