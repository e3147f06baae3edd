#include "report/report.h"

namespace nibble {
namespace {

// Text in a table's cell or a line: no mark of Markdown's means anything there.
std::string plain(const std::string& text) {
  std::string out;
  for (char c : with_breaks_shown(text)) {
    if (std::string_view("\\`*_{}[]<>()#+|~!&").find(c) != std::string_view::npos) out += '\\';
    if (static_cast<unsigned char>(c) >= 32) out += c;
  }
  return out;
}

std::string figures(const Report& r) {
  const Comparison& s = r.loss.scores;
  std::string out = "| what | figure |\n|---|---|\n";
  auto row = [&](const char* what, const std::string& figure) {
    out += fmt::format("| {} | {} |\n", what, figure);
  };
  row("bits per weight", fmt::format("{:.3f}", r.loss.size.bits_per_weight()));
  row("bytes of all tensors",
      fmt::format("{} of {}", r.loss.size.file_bytes, r.loss.reference_bytes));
  row("KL, nats a token",
      fmt::format("{:.6f}, p99 {:.4f}, largest {:.3f}", s.kl_mean, s.kl_p99, s.kl_max));
  row("same likeliest token", fmt::format("{:.2f} %", 100 * s.top1));
  row("perplexity", fmt::format("{:.4f}, float {:.4f}", s.perplexity, s.reference_perplexity));
  row("its ratio",
      fmt::format("{:.5f} ({:.5f}..{:.5f}, 95 %, paired)", s.ratio, s.ratio_low, s.ratio_high));
  row("tokens measured", fmt::format("{}, {}", r.loss.tokens, plain(r.arithmetic)));
  row("tokens/s",
      fmt::format("{:.0f}, float {:.0f}, on {}; {}", r.tokens_per_second, r.float_tokens_per_second,
                  plain(r.cpu), plain(r.writing_arithmetic)));
  return out;
}

}  // namespace

std::string with_breaks_shown(std::string_view text) {
  std::string out;
  for (char c : text) c == '\n' ? out += "\u23ce" : out += c;
  return out;
}

std::string report_markdown(const Report& r) {
  std::string out = "# " + plain(r.name) + "\n\n" + figures(r);
  if (!r.linears.empty()) {
    out +=
        "\n## Bits and errors of each linear\n\n| block | linear | scheme | error "
        "|\n|---|---|---|---|\n";
    for (const ReportLinear& l : r.linears)
      out += fmt::format("| {} | {} | {} | {:.3g} |\n",
                         l.block < 0 ? std::string("-") : std::to_string(l.block), plain(l.name),
                         plain(l.scheme), l.error);
  }
  if (!r.versions.empty()) {
    out +=
        "\n## Beside other versions\n\n| version | bytes | bits per weight | KL | same likeliest "
        "token |\n|---|---|---|---|---|\n";
    for (const ReportVersion& v : all_versions(r))
      out += fmt::format("| {} | {} | {:.3f} | {:.6f} | {:.2f} % |\n", plain(v.name), v.bytes,
                         v.bits, v.kl, 100 * v.top1);
  }
  out +=
      "\n## Where it moved most\n\n| KL | float | this | text | token |\n|---|---|---|---|---|\n";
  for (const WorstToken& w : r.worst)
    out += fmt::format("| {:.3f} | {:.1f} % | {:.1f} % | {} | {} |\n", w.kl, 100 * w.likely_float,
                       100 * w.likely, plain(w.before), plain(w.token));
  out += "\n## Side by side\n";
  for (const Sample& s : r.samples)
    out += fmt::format("\n{}\n\n- float: {}\n- this: {}\n", plain(s.prompt), plain(s.by_float),
                       plain(s.by_model));
  if (!r.devices.empty()) {
    out +=
        "\n## Devices\n\n| device | fits | a token, ms at least | its widths run "
        "|\n|---|---|---|---|\n";
    for (const DeviceFit& d : r.devices)
      out += fmt::format("| {} | {} | {:.3g} | {} |\n", plain(d.device), d.fits ? "yes" : "no",
                         d.milliseconds,
                         !d.scheme_runs   ? "unknown"
                         : *d.scheme_runs ? "yes"
                                          : "not listed");
  }
  if (r.record.is_object()) {
    Json kept = r.record;
    kept.erase("tensors");
    out += "\n## How it was made\n\n```json\n" + kept.dump(2) + "\n```\n";
  }
  return out;
}

}  // namespace nibble
