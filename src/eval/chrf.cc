#include "eval/chrf.h"

#include <algorithm>
#include <unordered_map>

#include "text/python_text.h"

namespace nibble {
namespace {

constexpr size_t kLongest = 6;       // characters of a run
constexpr double kRecallWeight = 4;  // beta squared

// Runs of n characters of the text, and how often each occurs.
using Runs = std::unordered_map<std::u32string_view, int64_t>;
Runs runs_of(std::u32string_view text, size_t n) {
  Runs out;
  for (size_t i = 0; i + n <= text.size(); ++i) ++out[text.substr(i, n)];
  return out;
}

std::u32string without_space(std::string_view text) {
  std::u32string out = code_points(text);
  std::erase_if(out, is_python_space);
  return out;
}

std::vector<double> parts_of(std::u32string_view text, std::u32string_view reference) {
  std::vector<double> out;
  for (size_t n = 1; n <= kLongest; ++n) {
    Runs other = runs_of(reference, n);
    double own = 0, theirs = 0, matches = 0;
    for (const auto& [run, count] : other) theirs += static_cast<double>(count);
    for (const auto& [run, count] : runs_of(text, n)) {
      own += static_cast<double>(count);
      if (auto at = other.find(run); at != other.end())
        matches += static_cast<double>(std::min(count, at->second));
    }
    // A reference without such a run says nothing about the text's.
    out.insert(out.end(), {other.empty() ? 0 : own, theirs, matches});
  }
  return out;
}

}  // namespace

std::vector<double> chrf_parts(std::string_view text, std::span<const std::string> references) {
  std::u32string own = without_space(text);
  std::vector<double> best;
  for (const std::string& reference : references) {
    std::vector<double> parts = parts_of(own, without_space(reference));
    if (best.empty() || chrf_score(parts) > chrf_score(best)) best = std::move(parts);
  }
  return best;
}

double chrf_score(std::span<const double> sums) {
  double precision = 0, recall = 0, lengths = 0;
  for (size_t n = 0; n < kLongest; ++n) {
    double own = sums[3 * n], theirs = sums[3 * n + 1], matches = sums[3 * n + 2];
    if (own == 0 || theirs == 0) continue;
    precision += matches / own;
    recall += matches / theirs;
    ++lengths;
  }
  if (precision + recall == 0) return 0;
  double f = (1 + kRecallWeight) * precision * recall / (kRecallWeight * precision + recall);
  return 100 * f / lengths;  // f of the means
}

}  // namespace nibble
