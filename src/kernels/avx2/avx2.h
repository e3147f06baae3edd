// The parts of the AVX2 table.
#pragma once

#include "kernels/float_ops.h"
#include "kernels/table.h"

namespace nibble::avx2 {

float quantize_row(const float* x, int64_t k, bool per_token, int8_t* codes, int32_t* multipliers,
                   int32_t* sums);
void gemv(const Product& p, int64_t first, int64_t last);
void gemm(const Product& p, int64_t first, int64_t last, uint8_t* scratch);
int64_t gemm_scratch(const Product& p);
extern const FloatOps float_ops;

}  // namespace nibble::avx2
