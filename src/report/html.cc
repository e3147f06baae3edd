#include "report/page.h"
#include "report/pareto_svg.h"
#include "report/pictures.h"
#include "report/report.h"

namespace nibble {
namespace {

std::string shown(const std::string& text) { return html_text(with_breaks_shown(text)); }

std::string tile(const std::string& figure, const std::string& what) {
  return fmt::format("<div><b>{}</b>{}</div>\n", figure, what);
}

std::string tiles(const Report& r) {
  const Comparison& s = r.loss.scores;
  double share =
      static_cast<double>(r.loss.size.file_bytes) / static_cast<double>(r.loss.reference_bytes);
  std::string out = "<div class=\"tiles\">\n";
  out += tile(fmt::format("{:.3f}", r.loss.size.bits_per_weight()), "bits per weight");
  out += tile(fmt::format("{:.2f} MB", static_cast<double>(r.loss.size.file_bytes) / 1e6),
              "all tensors");
  out += tile(fmt::format("{:.1f} %", 100 * share), "of the float model's bytes");
  out += tile(fmt::format("{:.5f}", s.kl_mean), "KL, nats a token");
  out += tile(fmt::format("{:.2f} %", 100 * s.top1), "same likeliest token");
  out += tile(fmt::format("x {:.4f}", s.ratio), "perplexity");
  out += tile(fmt::format("{:.0f}", r.tokens_per_second),
              "tokens/s here; " + html_text(r.writing_arithmetic));
  return out + "</div>\n";
}

std::string loss(const Report& r) {
  const Comparison& s = r.loss.scores;
  return fmt::format(
      "<h2>What was lost</h2>\n<p>Perplexity {:.4f} where the float model has {:.4f}; the ratio "
      "lies "
      "between {:.5f} and {:.5f} with 95 % confidence (paired). KL(float || this): mean {:.6f}, "
      "p99 "
      "{:.4f}, largest {:.3f}. {} tokens of text that calibration never saw; arithmetic: {}.</p>\n"
      "<p>How many tokens have which KL:</p>\n{}",
      s.perplexity, s.reference_perplexity, s.ratio_low, s.ratio_high, s.kl_mean, s.kl_p99,
      s.kl_max, r.loss.tokens, html_text(r.arithmetic), histogram_svg(histogram_of(r.kl)));
}

std::string versions(const Report& r) {
  if (r.versions.empty()) return "";
  std::vector<ReportVersion> all = all_versions(r);
  ParetoPicture picture{.title = "size and loss of each version",
                        .x_label = "MB of all tensors",
                        .y_label = "KL, nats a token"};
  auto point = [](const ReportVersion& v) {
    return ParetoPoint{static_cast<double>(v.bytes) / 1e6, v.kl, v.name};
  };
  for (const ReportVersion& v : all) picture.points.push_back(point(v));
  for (const ReportVersion& v : front_of(all)) picture.line.push_back(point(v));
  picture.chosen = point(all.back());
  std::string out =
      "<h2>Beside other versions</h2>\n<p>Measured on the same text. The line joins those that no "
      "other is as small as and closer to the float model; this one has a ring.</p>\n"
      "<div class=\"wide\">" +
      pareto_figure(picture) +
      "</div>\n<div class=\"wide\"><table><tr><th>version</th><th>MB</th><th>bits per weight</th>"
      "<th>KL</th><th>same likeliest</th></tr>\n";
  for (const ReportVersion& v : all)
    out += fmt::format(
        "<tr><td>{}</td><td>{:.2f}</td><td>{:.3f}</td><td>{:.5f}</td><td>{:.2f}&nbsp;%</td></tr>\n",
        html_text(v.name), static_cast<double>(v.bytes) / 1e6, v.bits, v.kl, 100 * v.top1);
  return out + "</table></div>\n";
}

std::string worst(const Report& r) {
  std::string out =
      "<h2>Where it moved most</h2>\n<p>The marked token came next; how likely each model thought "
      "it.</p>\n<div class=\"wide\"><table><tr><th>KL</th><th>float</th><th>this</th><th>text</th>"
      "</tr>\n";
  for (const WorstToken& w : r.worst)
    out += fmt::format(
        "<tr><td>{:.3f}</td><td>{:.1f}&nbsp;%</td><td>{:.1f}&nbsp;%</td><td "
        "class=\"worst\">{}<mark>{}</mark>"
        "</td></tr>\n",
        w.kl, 100 * w.likely_float, 100 * w.likely, shown(w.before), shown(w.token));
  return out + "</table></div>\n";
}

std::string samples(const Report& r) {
  std::string out = fmt::format(
      "<h2>Side by side</h2>\n<p>Both continue each prompt with their likeliest tokens; the float "
      "model writes {:.0f} tokens/s, this one {:.0f} on {}; arithmetic: {}.</p>\n",
      r.float_tokens_per_second, r.tokens_per_second, html_text(r.cpu),
      html_text(r.writing_arithmetic));
  for (const Sample& s : r.samples)
    out += fmt::format(
        "<p>{}</p>\n<div class=\"pair\"><div><span class=\"soft\">float</span><br>{}</div>"
        "<div><span class=\"soft\">this</span><br>{}</div></div>\n",
        shown(s.prompt), shown(s.by_float), shown(s.by_model));
  return out;
}

std::string mark(std::optional<bool> good, const char* yes, const char* no) {
  if (!good) return "<span class=\"soft\">unknown</span>";
  return fmt::format("<span class=\"{}\">{}</span>", *good ? "good" : "bad", *good ? yes : no);
}

std::string device_table(const Report& r) {
  if (r.devices.empty()) return "";
  std::string out =
      "<h2>Devices</h2>\n<p>From each profile: whether weights and a cache of 2,048 tokens fit "
      "beside "
      "the system, and the least time of a token, its bytes over the bus. Nothing here ran "
      "there.</p>\n"
      "<div class=\"wide\"><table><tr><th>device</th><th>memory</th><th>a token, ms at least</th>"
      "<th>its widths</th></tr>\n";
  for (const DeviceFit& d : r.devices)
    out += fmt::format("<tr><td>{}</td><td>{}</td><td>{:.3g}</td><td>{}</td></tr>\n",
                       html_text(d.device), mark(d.fits, "fits", "does not fit"), d.milliseconds,
                       mark(d.scheme_runs, "run", "not listed"));
  return out + "</table></div>\n";
}

std::string provenance(const Report& r) {
  if (!r.record.is_object()) return "";
  Json kept = r.record;
  kept.erase("tensors");
  return "<h2>How it was made</h2>\n<pre>" + html_text(kept.dump(2)) + "\n</pre>\n";
}

}  // namespace

std::string report_html(const Report& r) {
  std::string out = "<h1>" + html_text(r.name) +
                    "</h1>\n<p>A quantized model, measured against its float model. ";
  out += "Every figure was measured when this page was made.</p>\n";
  out += tiles(r);
  if (!r.linears.empty())
    out +=
        "<h2>Bits and errors of each linear</h2>\n<p>Bits, and below the relative error of its "
        "weights or outputs as quantize reported it; stronger is larger.</p>\n" +
        heat_map(r.linears);
  out += loss(r) + versions(r) + worst(r) + samples(r) + device_table(r) + provenance(r);
  return html_page(r.name + ": nibble's report", out);
}

}  // namespace nibble
