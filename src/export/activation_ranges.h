// What calibration sees of the values around the linears of blocks, for exports whose integers need
// fixed ranges there.
#pragma once

#include <map>

#include "quant/calibration.h"
#include "quant/statistics_store.h"

namespace nibble {

// Where ranges come from; at most one of both is given.
struct RangeOptions {
  CalibrationOptions calibration;  // this text; empty: none
  std::string statistics;  // the folder of a StatisticsStore, for ranges of inputs; or empty
  bool given() const { return !calibration.text.empty() || !statistics.empty(); }
};

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
// Those of the text, or of inputs alone, symmetric, by the largest magnitudes that statistics of
// the float model have: refused of an artifact that a transform rewrote. origin: {"source", "hash",
// "tokens"}, what they were seen on.
Result<ActivationRanges> find_ranges(const Weights& model, const RangeOptions& options,
                                     Json& origin);

// Of one linear; an error where it is absent.
Result<LinearRanges> range_of(const Weights& model, const ActivationRanges& ranges,
                              const std::string& module);

// Whether any linear of a block has a MODULE.input_scale; whether any has none.
bool has_input_scales(const Weights& model);
bool lacks_input_scales(const Weights& model);
// The model with a MODULE.input_scale for each linear of a block that has none: the range's larger
// side / 127. Without ranges, for a file that nobody runs: 1.
Result<Weights> with_input_scales(const Weights& model, const ActivationRanges* ranges);

}  // namespace nibble
