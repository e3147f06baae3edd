// What is done to a model beside rounding its weights.
#pragma once

#include <optional>
#include <vector>

#include "quant/activation_range.h"
#include "quant/transforms/transform.h"

namespace nibble {

struct Preparation {
  std::vector<const Transform*> transforms;
  TransformOptions options;
  std::optional<RangeRule> ranges;  // scales of static inputs are chosen by it, or none are

  bool changes_model() const;   // before the block pass
  bool changes_blocks() const;  // before a block is quantized
  bool changes_biases() const;  // after a linear is quantized
  // What transforms of blocks need to know of their inputs, and, with that, what anything here
  // needs calibration for.
  InputStatistics::Need need() const;
  // What is needed of a stage's inputs while its linears are quantized.
  InputStatistics::Need stage_need() const;
};

}  // namespace nibble
