// The weight columns that LLM.int8() keeps as floats beside the 8-bit matrix.
#pragma once

#include <vector>

#include "quant/methods/method.h"
#include "tensor/view.h"

namespace nibble {

// Columns whose inputs reach the threshold in root mean square are outliers for nearly every token.
// A model that has them has small weights there, less than a step of a grid made for the others, so
// these go beside the codes: MODULE.outlier_columns, I32 (c), ascending, and MODULE.outlier_weight,
// `type` (n, c). Nothing where there is no such column.
std::vector<NamedTensor> outlier_columns(const FloatMatrix& m, const InputStatistics& input,
                                         double threshold, DType type);

}  // namespace nibble
