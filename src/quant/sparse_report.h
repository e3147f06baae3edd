// Whether sparsity paid: what dense codes do in the same bytes.
#pragma once

#include <span>
#include <vector>

#include "quant/methods/method.h"

namespace nibble {

// How many weights are exactly zero.
int64_t count_zeros(const QuantizedMatrix& q);

// The widest dense scheme of the same groups that takes no more bytes than one bit a weight for
// where the kept ones are, their codes, and the scales; 2 bits at least.
Scheme dense_rival(const QuantizedMatrix& sparse);

// The layer errors of GPTQ at the rival scheme, for matrices that read the same input.
Result<std::vector<double>> dense_errors(std::span<FloatMatrix> matrices,
                                         std::span<const QuantizedMatrix> sparse,
                                         const InputStatistics& statistics,
                                         const MethodOptions& options);

}  // namespace nibble
