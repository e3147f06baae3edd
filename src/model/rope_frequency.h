// How fast each pair of a rotated head turns. Sources: model/rope.h.
#pragma once

#include "model/config.h"

namespace nibble {

// kDynamic: NTK-aware, the base grows with the sequence of `length` tokens beyond the first
// context. Else the spec's own.
double rope_theta(const RopeSpec& spec, int64_t length);

// Radians a position that pair `i` of spec.dims / 2 turns, in float32 as transformers computes it.
// theta: rope_theta's. `beyond`: kLongrope's long factors, else its short ones.
float rope_frequency(const RopeSpec& spec, double theta, int64_t i, bool beyond);

}  // namespace nibble
