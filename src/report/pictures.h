// The page's pictures: SVG and tables, drawn with the page's own colours.
#pragma once

#include <string>
#include <vector>

#include "report/report.h"

namespace nibble {

// Text inside HTML: & < > " ' as references; control characters but line breaks and tabs are left
// out.
std::string html_text(std::string_view text);

// Counts of KL over powers of ten, four bars each; zeros and what lies below count in the first.
struct Histogram {
  double first_power = 0;  // log10 of the first bar's lower end
  std::vector<int64_t> bars;
  static constexpr int kBarsPerPower = 4;
};
Histogram histogram_of(const std::vector<double>& kl);
std::string histogram_svg(const Histogram& histogram);

// A row for each kind of linear, a column for each block, as a table whose cells are darker where
// the error is larger.
std::string heat_map(const std::vector<ReportLinear>& linears);

}  // namespace nibble
