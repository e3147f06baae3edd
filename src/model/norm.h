// Norms as blocks run them.
#pragma once

#include <vector>

#include "base/function.h"
#include "model/config.h"

namespace nibble {

// What x / rms(x) or (x - mean) / deviation is multiplied by and what is then added, part by part;
// no weight: no norm. A norm of 1 + w holds that.
struct Norm {
  std::vector<float> weight, bias;
  explicit operator bool() const { return !weight.empty(); }
};

// One row of `size` numbers, by the parameters from `at` on. y may be x.
void norm_row(const DecoderConfig& config, const Norm& norm, int64_t at, int64_t size,
              const float* x, float* y);

// Row by row over all of the weight. x, y: (rows, n), may be the same.
void norm_rows(const DecoderConfig& config, const Norm& norm, const float* x, int64_t rows,
               float* y);

// body(first row, one behind the last) of chunks of rows.
void for_rows(int64_t rows, FunctionRef<void(int64_t, int64_t)> body);

}  // namespace nibble
