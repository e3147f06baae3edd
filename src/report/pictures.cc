#include "report/pictures.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace nibble {
namespace {

constexpr double kLowestPower = -8, kHighestPower = 2;

}  // namespace

std::string html_text(std::string_view text) {
  std::string out;
  for (char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        // What HTML may not hold; bytes above 127 belong to UTF-8.
        if (static_cast<unsigned char>(c) >= 32 || c == '\t' || c == '\n') out += c;
    }
  }
  return out;
}

Histogram histogram_of(const std::vector<double>& kl) {
  auto bar_of = [](double v) {
    double power = v > 0 ? std::clamp(std::log10(v), kLowestPower, kHighestPower) : kLowestPower;
    return static_cast<int64_t>(std::floor(power * Histogram::kBarsPerPower));
  };
  std::map<int64_t, int64_t> counts;
  for (double v : kl) ++counts[bar_of(v)];
  Histogram out;
  if (counts.empty()) return out;
  int64_t first = counts.begin()->first, last = counts.rbegin()->first;
  out.first_power = static_cast<double>(first) / Histogram::kBarsPerPower;
  out.bars.assign(static_cast<size_t>(last - first + 1), 0);
  for (auto [bar, count] : counts) out.bars[static_cast<size_t>(bar - first)] = count;
  return out;
}

std::string histogram_svg(const Histogram& h) {
  constexpr double kHeight = 200, kBar = 18, kBottom = 170, kLeft = 8;
  constexpr double kRight = 36;  // the last label begins at the last bar
  double width = kLeft + kRight + kBar * static_cast<double>(h.bars.size());
  auto most =
      static_cast<double>(h.bars.empty() ? 1 : *std::max_element(h.bars.begin(), h.bars.end()));
  std::string out = fmt::format(
      "<svg viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\" aria-label=\"histogram of KL\">\n", width,
      kHeight);
  for (size_t i = 0; i < h.bars.size(); ++i) {
    double x = kLeft + kBar * static_cast<double>(i);
    double height = 150 * static_cast<double>(h.bars[i]) / most;
    double power = h.first_power + static_cast<double>(i) / Histogram::kBarsPerPower;
    out += fmt::format(
        "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"><title>{} tokens from "
        "{:.2g}</title></rect>\n",
        x + 1, kBottom - height, kBar - 2, height, h.bars[i], std::pow(10, power));
    if (power == std::floor(power))
      out += fmt::format("<text x=\"{:.1f}\" y=\"{:.0f}\">{:.0e}</text>\n", x, kBottom + 18,
                         std::pow(10, power));
  }
  return out + fmt::format("<line x1=\"0\" x2=\"{:.0f}\" y1=\"{:.0f}\" y2=\"{:.0f}\"/></svg>\n",
                           width, kBottom, kBottom);
}

std::string heat_map(const std::vector<ReportLinear>& linears) {
  std::vector<std::string> rows;
  int64_t blocks = 0;
  double most = 0;
  std::map<std::pair<std::string, int64_t>, const ReportLinear*> cells;
  for (const ReportLinear& l : linears) {
    if (std::find(rows.begin(), rows.end(), l.name) == rows.end()) rows.push_back(l.name);
    blocks = std::max(blocks, l.block + 1);
    most = std::max(most, l.error);
    cells[{l.name, l.block}] = &l;
  }
  std::string out = "<div class=\"wide\"><table class=\"heat\"><tr><th>linear</th>";
  for (int64_t b = 0; b < blocks; ++b) out += fmt::format("<th>{}</th>", b);
  out += "</tr>\n";
  for (const std::string& row : rows) {
    out += "<tr><th>" + html_text(row) + "</th>";
    for (int64_t b = 0; b < std::max(blocks, int64_t{1}); ++b) {
      auto cell = cells.find({row, b});
      if (cell == cells.end()) cell = cells.find({row, -1});
      if (cell == cells.end() || (cell->first.second < 0 && b > 0)) {
        out += "<td></td>";
        continue;
      }
      const ReportLinear& l = *cell->second;
      out += fmt::format("<td style=\"--heat:{:.2f}\" title=\"{}\"><b>{}</b><br>{:.2g}</td>",
                         most > 0 ? l.error / most : 0, html_text(l.scheme), l.bits, l.error);
    }
    out += "</tr>\n";
  }
  return out + "</table></div>\n";
}

}  // namespace nibble
