// The factor of the inverse Hessian that GPTQ and its kin walk along, and the ladder that makes it
// exist for any finite statistics.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "quant/statistics.h"

namespace nibble {

struct InverseFactor {
  // (k, k) float32 row-major upper triangular, inverse(H) = U' U in the given column order; empty
  // when every rung of the ladder failed.
  std::vector<float> U;
  double damping = 0;              // what was added, as a share of mean(diag H)
  std::vector<std::string> notes;  // each departure from the plain case
};

// H is the mean over tokens, its columns taken in `order`; columns that calibration never excited
// get a 1 on the diagonal. Ladder: damping, damping + .01 ... up to 1; then the diagonal is lifted
// to a floor of 1e-6 of its maximum, ten times more on each of six tries; then nothing (the caller
// rounds to nearest).
InverseFactor factor_inverse(const InputStatistics& statistics, std::span<const int64_t> order,
                             double damping);

}  // namespace nibble
