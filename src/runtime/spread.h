// What several measurements of one thing say together.
#pragma once

#include <vector>

namespace nibble {

// Median, quartiles and ends, in the unit of the values; quantiles by linear interpolation.
struct Spread {
  double median = 0, min = 0, q1 = 0, q3 = 0, max = 0;
};

// All zeros where there are no values.
Spread spread_of(std::vector<double> values);

}  // namespace nibble
