// The parts of the AVX-512 VNNI table.
#pragma once

#include "kernels/float_ops.h"
#include "kernels/table.h"

namespace nibble::avx512vnni {

void gemv(const Product& p, int64_t first, int64_t last);
extern const FloatOps float_ops;

}  // namespace nibble::avx512vnni
