// Of an operator that takes and gives integers of 8 bits.
#pragma once

#include "tensor/grid.h"

namespace nibble {

// Grids of codes 0 to 255, one for all that enters a linear and one for all that leaves it.
struct LinearGrids {
  Grid input, output;
};

}  // namespace nibble
