// What calibration sees of the values around the linears of blocks, for exports whose integers need
// fixed ranges there.
#pragma once

#include <map>

#include "quant/calibration.h"
#include "quant/window_flows.h"

namespace nibble {

// The least and the largest value; 0 is within.
struct ActivationRange {
  float low = 0, high = 0;
};

struct LinearRanges {
  ActivationRange input, output;  // output: with the bias
};

// By module. The model's weights as they are, on float inputs; a linear of an expert that no token
// has reached is absent.
using ActivationRanges = std::map<std::string, LinearRanges>;
Result<ActivationRanges> gather_ranges(const Weights& model, const CalibrationSet& windows);

}  // namespace nibble
