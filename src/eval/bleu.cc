#include "eval/bleu.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <unordered_map>

#include "text/python_text.h"
#include "text/utf8.h"

namespace nibble {
namespace {

constexpr size_t kLongest = 4;  // words of a run

void replace_all(std::string& text, std::string_view what, std::string_view with) {
  for (size_t i = 0; (i = text.find(what, i)) != text.npos; i += with.size())
    text.replace(i, what.size(), with);
}

// Each pair of neighbours of which `first` and `second` hold, left to right and none overlapping,
// gets spaces: before, between and behind it.
template <class First, class Second>
std::u32string space_pairs(const std::u32string& text, First first, Second second,
                           std::u32string_view before, std::u32string_view behind) {
  std::u32string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (i + 1 < text.size() && first(text[i]) && second(text[i + 1])) {
      out += before;
      out += text[i];
      out += U' ';
      out += text[++i];
      out += behind;
    } else {
      out += text[i];
    }
  }
  return out;
}

template <class Is>
std::u32string space_around(const std::u32string& text, Is is) {
  std::u32string out;
  for (char32_t c : text) {
    if (is(c))
      out += {U' ', c, U' '};
    else
      out += c;
  }
  return out;
}

bool is_digit(char32_t c) { return c >= U'0' && c <= U'9'; }

// ASCII's punctuation but for ' , - . as mteval-v13a has it; the space too.
bool splits_13a(char32_t c) {
  return (c >= U' ' && c <= U'&') || (c >= U'(' && c <= U'+') || c == U'/' ||
         (c >= U':' && c <= U'@') || (c >= U'[' && c <= U'`') || (c >= U'{' && c <= U'~');
}

std::u32string spaced_13a(std::string text) {
  replace_all(text, "<skipped>", "");
  replace_all(text, "-\n", "");
  replace_all(text, "\n", " ");
  replace_all(text, "&quot;", "\"");
  replace_all(text, "&amp;", "&");
  replace_all(text, "&lt;", "<");
  replace_all(text, "&gt;", ">");
  auto point = [](char32_t c) { return c == U'.' || c == U','; };
  auto other = [](char32_t c) { return !is_digit(c); };
  std::u32string out = space_around(code_points(" " + text + " "), splits_13a);
  out = space_pairs(out, other, point, U"", U" ");
  out = space_pairs(out, point, other, U" ", U"");
  return space_pairs(out, is_digit, [](char32_t c) { return c == U'-'; }, U"", U" ");
}

std::u32string spaced_intl(std::string_view text) {
  auto other = [](char32_t c) { return !is_number(c); };
  std::u32string out = space_pairs(code_points(text), other, is_punctuation_mark, U"", U" ");
  out = space_pairs(out, is_punctuation_mark, other, U" ", U"");
  return space_around(out, is_symbol);
}

// Runs of n words with a space between, and how often each occurs. Words hold no space.
using Runs = std::unordered_map<std::u32string, int64_t>;
Runs runs_of(std::span<const std::u32string> words, size_t n) {
  Runs out;
  for (size_t i = 0; i + n <= words.size(); ++i) {
    std::u32string run = words[i];
    for (size_t j = 1; j < n; ++j) run += U' ' + words[i + j];
    ++out[run];
  }
  return out;
}

}  // namespace

std::vector<std::u32string> bleu_words(std::string_view text, BleuWords words) {
  text = python_rstrip(text);
  return python_split(words == BleuWords::k13a ? spaced_13a(std::string(text)) : spaced_intl(text));
}

std::vector<double> bleu_parts(std::string_view text, std::span<const std::string> references,
                               BleuWords words) {
  std::vector<std::u32string> own = bleu_words(text, words);
  std::vector<std::vector<std::u32string>> others;
  for (const std::string& reference : references) others.push_back(bleu_words(reference, words));
  auto distance = [&](size_t length) {
    return std::abs(static_cast<int64_t>(length) - static_cast<int64_t>(own.size()));
  };
  size_t closest = others[0].size();
  for (const auto& other : others) {
    int64_t nearer = distance(closest) - distance(other.size());
    if (nearer > 0 || (nearer == 0 && other.size() < closest)) closest = other.size();
  }
  std::vector<double> out(2 + 2 * kLongest);
  out[0] = static_cast<double>(own.size());
  out[1] = static_cast<double>(closest);
  for (size_t n = 1; n <= kLongest; ++n) {
    // A run may match as often as the reference that has it most.
    Runs most;
    for (const auto& other : others)
      for (const auto& [run, count] : runs_of(other, n)) most[run] = std::max(most[run], count);
    for (const auto& [run, count] : runs_of(own, n)) {
      out[1 + kLongest + n] += static_cast<double>(count);
      if (auto at = most.find(run); at != most.end())
        out[1 + n] += static_cast<double>(std::min(count, at->second));
    }
  }
  return out;
}

double bleu_score(std::span<const double> sums) {
  double length = sums[0], reference = sums[1];
  std::span<const double> matches = sums.subspan(2, kLongest), all = sums.subspan(2 + kLongest);
  if (std::all_of(matches.begin(), matches.end(), [](double m) { return m == 0; })) return 0;
  double logs = 0, halving = 1;
  for (size_t n = 0; n < kLongest; ++n) {
    // Texts without a run of this length: sacreBLEU's log of 0 is -9999999999.
    if (all[n] == 0) return 0;
    double precision = 100 * matches[n] / all[n];
    if (matches[n] == 0) precision = 100 / ((halving *= 2) * all[n]);
    logs += std::log(precision);
  }
  double brevity = length < reference ? std::exp(1 - reference / length) : 1;
  return brevity * std::exp(logs / kLongest);
}

}  // namespace nibble
