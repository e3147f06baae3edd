// One group's grid: from floats to a scale and zero point, and from a float to its code and back.
// Sources: the conventions of GPTQ (arXiv 2210.17323) and llama.cpp's Q4_0 for the full range.
#pragma once

#include <cmath>
#include <span>

#include "tensor/scheme.h"

namespace nibble {

// value(u) = (level(u) - zero) * scale - low for codes u in [scheme.min_code(), scheme.max_code()].
// Of plain schemes, whose levels are the codes and whose low is 0, only scale and zero say
// anything.
struct Grid {
  float scale = 1;  // may be 0 in ggml's blocks
  int zero = 0;
  float low = 0;
  int16_t multiple = 1, low_multiple = 0;  // see GgmlGrids
  const int8_t* levels = nullptr;  // of sixteen codes, ascending; null: the codes themselves

  float level(int code) const { return static_cast<float>(levels ? levels[code] : code); }
};

// The nearest scale that the scheme's scale type can hold, never zero: a group of zeros gets a tiny
// one and codes equal to its zero point. Comes out infinite where the weights are too large for the
// type; whoever fits a grid must check.
float round_scale(float scale, DType type);

// The grid that spans [lo, hi]; lo <= 0 <= hi is forced. Symmetric schemes use the larger side,
// full-range ones put the end of larger magnitude at code 0.
Grid grid_from_range(float lo, float hi, const Scheme& scheme);
// grid_from_range over the values' own range.
Grid fit_minmax(std::span<const float> w, const Scheme& scheme);

// The code of the nearest of sixteen levels.
int nearest_level(float x, const int8_t* levels);

// Round to nearest, ties to even, clamped to the scheme's codes. With a scale of 0 any code.
inline int encode(float w, const Grid& g, const Scheme& scheme) {
  if (g.levels) return nearest_level((w + g.low) / g.scale, g.levels);
  float q = std::nearbyintf((w + g.low) / g.scale) + static_cast<float>(g.zero);
  float lo = static_cast<float>(scheme.min_code()), hi = static_cast<float>(scheme.max_code());
  return static_cast<int>(q > lo ? q < hi ? q : hi : lo);  // NaN gives lo, never an undefined cast
}
inline float decode(int code, const Grid& g) {
  return (g.level(code) - static_cast<float>(g.zero)) * g.scale - g.low;
}

}  // namespace nibble
