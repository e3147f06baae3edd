// LLM.int8(): a matrix product whose few large input columns are multiplied as floats.
#pragma once

#include <memory>
#include <vector>

#include "model/linear.h"

namespace nibble {

// Rows split by the columns in which any of them reaches the threshold, and those in `always`.
// Source: Dettmers et al., arXiv 2208.07339, section 3.2.
struct OutlierSplit {
  std::vector<int64_t> columns;    // in ascending order
  std::vector<float> outliers;     // (rows, columns.size())
  std::shared_ptr<Int8Rows> rest;  // the rows with zeros in these columns
};
OutlierSplit split_outliers(const float* x, int64_t rows, int64_t k, const InputRule& rule,
                            const std::vector<int64_t>& always);

// w: 8 bits, and has_integer_kernel. `packed` holds the same weights.
std::unique_ptr<Linear> make_outlier_linear(QuantizedMatrix w, std::unique_ptr<PackedMatrix> packed,
                                            std::vector<float> bias, InputRule rule,
                                            FloatColumns outliers);

}  // namespace nibble
