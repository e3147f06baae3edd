#include "runtime/spread.h"

#include <algorithm>

namespace nibble {

Spread spread_of(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  auto quantile = [&](double q) {
    double at = q * static_cast<double>(values.size() - 1);
    auto below = static_cast<size_t>(at);
    size_t above = std::min(below + 1, values.size() - 1);
    double part = at - static_cast<double>(below);
    return values[below] + part * (values[above] - values[below]);
  };
  return {quantile(.5), values.front(), quantile(.25), quantile(.75), values.back()};
}

}  // namespace nibble
