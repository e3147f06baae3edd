#include "cli/pareto_svg.h"

#include <algorithm>
#include <cmath>

namespace nibble {
namespace {

constexpr double kWidth = 760, kHeight = 480, kLeft = 84, kRight = 24, kTop = 44, kBottom = 56;

// Bits and KL to places in the picture; KL in powers of ten.
class Axes {
 public:
  explicit Axes(const MixedResult& r) {
    auto see = [&](const MixedPoint& p) {
      left_ = std::min(left_, p.bits);
      right_ = std::max(right_, p.bits);
      if (p.kl <= 0) return;
      low_ = std::min(low_, p.kl);
      high_ = std::max(high_, p.kl);
    };
    for (const MixedPoint& p : r.front) see(p);
    for (const auto& u : r.uniform) see(u.point);
    left_ = std::floor(left_);
    right_ = std::max(std::ceil(right_), left_ + 1);
    if (high_ <= 0) low_ = high_ = 1;
    low_ = std::floor(std::log10(low_));
    high_ = std::max(std::ceil(std::log10(high_)), low_ + 1);
  }
  double x(double bits) const {
    return kLeft + (bits - left_) / (right_ - left_) * (kWidth - kLeft - kRight);
  }
  double y(double kl) const {
    double power = kl > 0 ? std::clamp(std::log10(kl), low_, high_) : low_;
    return kTop + (high_ - power) / (high_ - low_) * (kHeight - kTop - kBottom);
  }
  double left() const { return left_; }
  double right() const { return right_; }
  double low() const { return low_; }
  double high() const { return high_; }

 private:
  double left_ = 1e9, right_ = 0, low_ = 1e9, high_ = 0;
};

std::string text(double x, double y, const char* anchor, const std::string& words) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", x, y, anchor,
                     words);
}

std::string grid_line(double x1, double y1, double x2, double y2) {
  return fmt::format(
      "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"#ddd\"/>\n", x1, y1,
      x2, y2);
}

std::string draw_axes(const Axes& a) {
  std::string out;
  double bottom = kHeight - kBottom, right = kWidth - kRight;
  for (double bits = a.left(); bits <= a.right(); ++bits)
    out += grid_line(a.x(bits), kTop, a.x(bits), bottom) +
           text(a.x(bits), bottom + 18, "middle", fmt::format("{:g}", bits));
  for (double power = a.low(); power <= a.high(); ++power) {
    double y = a.y(std::pow(10, power));
    out += grid_line(kLeft, y, right, y) +
           text(kLeft - 8, y + 4, "end", fmt::format("{:g}", std::pow(10, power)));
  }
  out += text((kLeft + right) / 2, kHeight - 14, "middle", "bits per weight");
  return out + fmt::format(
                   "<text transform=\"translate(18 {:.0f}) rotate(-90)\" text-anchor=\"middle\">"
                   "predicted KL, nats a token</text>\n",
                   (kTop + bottom) / 2);
}

}  // namespace

std::string pareto_svg(const MixedResult& r) {
  Axes a(r);
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" "
      "height=\"{1}\" font-family=\"sans-serif\" font-size=\"13\" fill=\"#222\">\n"
      "<rect width=\"{0}\" height=\"{1}\" fill=\"white\"/>\n",
      kWidth, kHeight);
  const MixedPoint& chosen = r.front[r.chosen];
  out += text(kLeft, 24, "start",
              fmt::format("Least KL at every size; chosen: {:.3f} bits per weight, KL {:.4g}",
                          chosen.bits, chosen.kl));
  out += draw_axes(a);
  out += "<polyline fill=\"none\" stroke=\"#1f6fb4\" stroke-width=\"2\" points=\"";
  double last = -1;
  for (const MixedPoint& p : r.front) {
    double x = a.x(p.bits);
    if (x - last < .5 && &p != &r.front.back()) continue;  // finer than a picture shows
    out += fmt::format("{:.1f},{:.1f} ", x, a.y(p.kl));
    last = x;
  }
  out += "\"/>\n";
  for (const auto& u : r.uniform) {
    double x = a.x(u.point.bits), y = a.y(u.point.kl);
    bool inside = x < kWidth - 130;
    out += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.5\" fill=\"#c2571a\"/>\n", x, y) +
           text(inside ? x + 7 : x - 7, y - 5, inside ? "start" : "end", u.scheme);
  }
  out += fmt::format(
      "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"7\" fill=\"none\" stroke=\"#1a7f37\" "
      "stroke-width=\"2.5\"/>\n",
      a.x(chosen.bits), a.y(chosen.kl));
  return out + "</svg>\n";
}

}  // namespace nibble
