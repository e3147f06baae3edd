// A picture of what every point costs and gives: the best ones joined by a line, one chosen.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace nibble {

struct ParetoPoint {
  double x = 0, y = 0;  // y: on a scale of powers of ten; 0 lies at its lower end
  std::string label;
};

struct ParetoPicture {
  std::string title, x_label, y_label;
  std::vector<ParetoPoint> line;    // from left to right
  std::vector<ParetoPoint> points;  // dots with labels
  std::optional<ParetoPoint> chosen;
};

// A whole SVG file. There is one point at least; title and labels are text.
std::string pareto_svg(const ParetoPicture& picture);
// The same as part of a page, whose style gives texts and lines their colours.
std::string pareto_figure(const ParetoPicture& picture);

}  // namespace nibble
