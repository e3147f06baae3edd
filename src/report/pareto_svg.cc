#include "report/pareto_svg.h"

#include <algorithm>
#include <cmath>

#include "report/pictures.h"

namespace nibble {
namespace {

constexpr double kWidth = 760, kHeight = 480, kLeft = 84, kRight = 24, kTop = 44, kBottom = 56;

constexpr double kMostTicks = 10;

// A step of 1, 2 or 5 times a power of ten that makes few marks of this range.
double tick_step(double range) {
  double step = std::pow(10, std::floor(std::log10(range / kMostTicks)));
  for (double factor : {1., 2., 5., 10.})
    if (range / (step * factor) <= kMostTicks) return step * factor;
  return range;
}

// Values to places in the picture; y in powers of ten.
class Axes {
 public:
  explicit Axes(const ParetoPicture& picture) {
    auto see = [&](const ParetoPoint& p) {
      left_ = std::min(left_, p.x);
      right_ = std::max(right_, p.x);
      if (p.y <= 0) return;
      low_ = std::min(low_, p.y);
      high_ = std::max(high_, p.y);
    };
    for (const ParetoPoint& p : picture.line) see(p);
    for (const ParetoPoint& p : picture.points) see(p);
    step_ = tick_step(std::max(right_ - left_, 1e-3 * right_));
    left_ = std::floor(left_ / step_) * step_;
    right_ = std::max(std::ceil(right_ / step_) * step_, left_ + step_);
    if (high_ <= 0) low_ = high_ = 1;
    low_ = std::floor(std::log10(low_));
    high_ = std::max(std::ceil(std::log10(high_)), low_ + 1);
  }
  double x(double value) const {
    return kLeft + (value - left_) / (right_ - left_) * (kWidth - kLeft - kRight);
  }
  double y(double value) const {
    double power = value > 0 ? std::clamp(std::log10(value), low_, high_) : low_;
    return kTop + (high_ - power) / (high_ - low_) * (kHeight - kTop - kBottom);
  }
  double left() const { return left_; }
  double step() const { return step_; }
  double right() const { return right_; }
  double low() const { return low_; }
  double high() const { return high_; }

 private:
  double left_ = 1e18, right_ = 0, low_ = 1e18, high_ = 0, step_ = 1;
};

std::string text(double x, double y, const char* anchor, const std::string& words) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", x, y, anchor,
                     html_text(words));
}

std::string grid_line(double x1, double y1, double x2, double y2) {
  return fmt::format(
      "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"#ddd\"/>\n", x1, y1,
      x2, y2);
}

std::string draw_axes(const Axes& a, const ParetoPicture& picture) {
  std::string out;
  double bottom = kHeight - kBottom, right = kWidth - kRight;
  auto marks = static_cast<int>(std::lround((a.right() - a.left()) / a.step()));
  for (int i = 0; i <= marks; ++i) {
    double value = a.left() + i * a.step();
    out += grid_line(a.x(value), kTop, a.x(value), bottom) +
           text(a.x(value), bottom + 18, "middle", fmt::format("{:.4g}", value));
  }
  for (double power = a.low(); power <= a.high(); ++power) {
    double y = a.y(std::pow(10, power));
    out += grid_line(kLeft, y, right, y) +
           text(kLeft - 8, y + 4, "end", fmt::format("{:g}", std::pow(10, power)));
  }
  out += text((kLeft + right) / 2, kHeight - 14, "middle", picture.x_label);
  return out + fmt::format(
                   "<text transform=\"translate(18 {:.0f}) rotate(-90)\" text-anchor=\"middle\">"
                   "{}</text>\n",
                   (kTop + bottom) / 2, html_text(picture.y_label));
}

std::string drawing(const ParetoPicture& picture) {
  Axes a(picture);
  std::string out = draw_axes(a, picture);
  out += "<polyline fill=\"none\" stroke=\"#1f6fb4\" stroke-width=\"2\" points=\"";
  double last = -1;
  for (const ParetoPoint& p : picture.line) {
    double x = a.x(p.x);
    if (x - last < .5 && &p != &picture.line.back()) continue;  // finer than a picture shows
    out += fmt::format("{:.1f},{:.1f} ", x, a.y(p.y));
    last = x;
  }
  out += "\"/>\n";
  for (const ParetoPoint& p : picture.points) {
    double x = a.x(p.x), y = a.y(p.y);
    bool inside = x < kWidth - 130;
    out += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.5\" fill=\"#c2571a\"/>\n", x, y) +
           text(inside ? x + 7 : x - 7, y - 5, inside ? "start" : "end", p.label);
  }
  if (picture.chosen)
    out += fmt::format(
        "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"7\" fill=\"none\" stroke=\"#1a7f37\" "
        "stroke-width=\"2.5\"/>\n",
        a.x(picture.chosen->x), a.y(picture.chosen->y));
  return out;
}

}  // namespace

std::string pareto_svg(const ParetoPicture& picture) {
  return fmt::format(
             "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" "
             "height=\"{1}\" font-family=\"sans-serif\" font-size=\"13\" fill=\"#222\">\n"
             "<rect width=\"{0}\" height=\"{1}\" fill=\"white\"/>\n",
             kWidth, kHeight) +
         text(kLeft, 24, "start", picture.title) + drawing(picture) + "</svg>\n";
}

std::string pareto_figure(const ParetoPicture& picture) {
  return fmt::format(
             "<svg class=\"pareto\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">\n",
             kWidth, kHeight, html_text(picture.title)) +
         drawing(picture) + "</svg>\n";
}

}  // namespace nibble
