// A picture of a Pareto front.
#pragma once

#include <string>

#include "quant/mixed.h"

namespace nibble {

// Bits per weight against predicted KL (logarithmic), the front as a line, uniform schemes as
// labelled dots, the chosen point as a ring. Self-contained SVG.
std::string pareto_svg(const MixedResult& result);

}  // namespace nibble
