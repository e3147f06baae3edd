// How large a checkpoint is, in the two counts that every table of ours shows.
#pragma once

#include "model/weights.h"

namespace nibble {

// bits per weight = 8 x bytes of codes, scales and zero points of the blocks' linears (float ones
// at their stored size) / their weights; file bits = 8 x bytes of all tensors / parameters.
struct SizeReport {
  int64_t linear_bytes = 0, linear_weights = 0;
  int64_t file_bytes = 0, parameters = 0;
  double bits_per_weight() const {
    return 8. * static_cast<double>(linear_bytes) / static_cast<double>(linear_weights);
  }
  double file_bits() const {
    return 8. * static_cast<double>(file_bytes) / static_cast<double>(parameters);
  }
};

Result<SizeReport> measure_size(const Weights& weights);

}  // namespace nibble
