#include "device/claim.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <sstream>

#include "base/json.h"
#include "base/text.h"
#include "tensor/scheme.h"

namespace nibble {
namespace {

// What a token reads of a model that is called so: all but the embedding's rows. Of models whose
// shapes are known (Llama-2-7B, TinyLlama-1.1B, Qwen-2.5-0.5B: shared/reference/performance.md
// 3.1); others are taken by their name.
struct Known {
  double called, read;
};
constexpr Known kKnown[] = {{7e9, 6.61e9}, {1.1e9, 1.03e9}, {.5e9, .49e9}};
constexpr double kRounding = .01;
constexpr const char* kForm =
    "a claim is SIZE SCHEME TIME DEVICE, as \"7B int8 12 ms jetson-nano\"";

struct Word {
  std::optional<double> number;  // what it begins with
  std::string unit;              // the rest, in small letters
};

Word split(const std::string& word) {
  Word out;
  const char* rest = word.data();
  // from_chars would take "nano" for a NaN.
  if (std::isdigit(static_cast<unsigned char>(*rest)) || *rest == '.') {
    double value = 0;
    auto [end, error] = std::from_chars(rest, word.data() + word.size(), value);
    if (error == std::errc()) out.number = value, rest = end;
  }
  out.unit = lower_ascii({rest, word.data() + word.size()});
  return out;
}

// Bits a weight, scales of blocks of 32 included where the name does not say the group.
std::optional<double> bits_of(const std::string& scheme) {
  if (scheme == "fp32" || scheme == "float32") return 32;
  if (scheme == "fp16" || scheme == "bf16" || scheme == "float16") return 16;
  if (scheme.starts_with("int") && scheme.size() == 4 && scheme[3] >= '2' && scheme[3] <= '8')
    return scheme[3] - '0' + .5;
  auto parsed = Scheme::parse(scheme);
  if (!parsed) return std::nullopt;
  double shared = parsed->group > 0 ? 16. + (parsed->asymmetric() ? parsed->bits : 0) : 0;
  return parsed->bits + (parsed->group > 0 ? shared / static_cast<double>(parsed->group) : 0);
}

bool is_filler(const std::string& w) {
  return w == "model" || w == "at" || w == "in" || w == "on" || w == "a" || w == "per" ||
         w == "token" || w == "llm";
}

// Joins "12 ms" to "12ms", "20 tokens/s" to "20tokens/s", "1 GB" to "1GB".
std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string w; in >> w;) {
    bool bare = !out.empty() && split(out.back()).number && split(out.back()).unit.empty();
    if (bare)
      out.back() += w;
    else if (!is_filler(w))
      out.push_back(w);
  }
  return out;
}

double weights_of(double called) {
  for (const Known& k : kKnown)
    if (std::abs(k.called - called) < 1e-3 * called) return k.read;
  return called;
}

}  // namespace

Result<Claim> parse_claim(const std::string& text) {
  Claim out;
  double bits = 0, called = 0;
  for (const std::string& word : words_of(text)) {
    auto [number, unit] = split(word);
    double n = number.value_or(0);
    if (number && n <= 0)
      return usage("{}: {} should be above 0; {}", in_quotes(text), word, kForm);
    if (number && (unit == "ms" || unit == "s"))
      out.seconds = unit == "ms" ? n / 1e3 : n;
    else if (number && (unit == "tokens/s" || unit == "tok/s" || unit == "t/s"))
      out.seconds = 1 / n;
    else if (number && (unit == "b" || unit == "m"))
      called = n * (unit == "b" ? 1e9 : 1e6), out.model = word;
    else if (number && (unit == "gb" || unit == "mb"))
      out.bytes = n * (unit == "gb" ? 1e9 : 1e6), out.model = word;
    else if (auto b = bits_of(unit); !number && b)
      bits = *b, out.scheme = word;
    else if (out.device.empty() && !number)
      out.device = word;
    else
      return usage("{}: cannot tell what {} is; {}", in_quotes(text), in_quotes(word), kForm);
  }
  if (called > 0) {
    if (bits == 0) return usage("{}: names no scheme; {}", in_quotes(text), kForm);
    out.weights = weights_of(called);
    out.bytes = out.weights * bits / 8;
    out.resident = called * bits / 8;
  } else {
    out.resident = out.bytes;
  }
  if (out.bytes == 0) return usage("{}: names no size; {}", in_quotes(text), kForm);
  if (out.seconds == 0) return usage("{}: names no time; {}", in_quotes(text), kForm);
  if (out.device.empty()) return usage("{}: names no device; {}", in_quotes(text), kForm);
  return out;
}

Verdict judge(const Claim& claim, const DeviceProfile& device) {
  Verdict out;
  out.bus_seconds = claim.bytes / device.bandwidth;
  if (double peak = device.best_peak(); peak > 0) out.compute_seconds = 2 * claim.weights / peak;
  out.needed_bandwidth = claim.bytes / claim.seconds;
  out.factor = out.bus_seconds / claim.seconds;
  // What only streams through a chip need not fit there.
  out.fits = claim.resident <= device.usable || device.kind == "tpu";
  out.possible =
      out.fits && std::max(out.bus_seconds, out.compute_seconds) <= claim.seconds * (1 + kRounding);
  return out;
}

std::string verdict_text(const Claim& claim, const DeviceProfile& device, const Verdict& v) {
  std::string what = claim.model + (claim.scheme.empty() ? "" : " " + claim.scheme);
  std::string out = fmt::format(
      "{}: {} reads {:.3g} GB a token; {:.4g} ms need {:.3g} GB/s, {} gives {:.4g} ({})",
      v.possible ? "possible" : "impossible", what, claim.bytes / 1e9, claim.seconds * 1e3,
      v.needed_bandwidth / 1e9, device.slug, device.bandwidth / 1e9,
      v.factor > 1 + kRounding ? fmt::format("{:.1f} times too little", v.factor)
                               : fmt::format("{:.0f} % of it", 100 * v.factor));
  out += fmt::format("; at best {:.3g} ms", 1e3 * std::max(v.bus_seconds, v.compute_seconds));
  if (v.compute_seconds > claim.seconds * (1 + kRounding))
    out += fmt::format("; its arithmetic alone takes {:.3g} ms", 1e3 * v.compute_seconds);
  if (!v.fits)
    out += fmt::format("; {:.3g} GB do not fit in the {:.3g} GB beside the system",
                       claim.resident / 1e9, device.usable / 1e9);
  return out;
}

}  // namespace nibble
