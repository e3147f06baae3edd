// What rounding costs the readers of a fold when their columns are scaled, from statistics alone.
#pragma once

#include <vector>

#include "quant/transforms/fold.h"

namespace nibble {

class FoldJudge {
 public:
  // Looks at no more than `most_rows` of each reader's rows, evenly spread.
  FoldJudge(FloatBlock& block, const Fold& fold, int64_t most_rows);

  // Sum over readers of ||(W - Q(W s) / s) X||^2 / ||W X||^2, Q rounding to nearest on min-max
  // grids. s: (channels).
  double rounding_error(const std::vector<float>& s) const;
  // The same of noise in the scaled inputs x / s: what one unit of variance in each costs.
  double noise_error(const std::vector<float>& s) const;

 private:
  struct Reader {
    FloatMatrix rows;   // the sampled ones
    double energy = 0;  // tr(W H W') / tokens
  };
  std::vector<float> spread(const std::vector<float>& s) const;
  double error_of(const Reader& reader, const std::vector<float>& columns) const;
  double quadratic(const std::vector<float>& d, int64_t rows) const;

  const Fold* fold_;
  int64_t k_;
  std::vector<float> H_;  // (k, k), a mean over tokens
  std::vector<Reader> readers_;
};

}  // namespace nibble
