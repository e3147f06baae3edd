#include "quant/methods/sparsity.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <numeric>

#include "base/json.h"

namespace nibble {

Result<Sparsity> parse_sparsity(const std::string& text) {
  Sparsity s;
  auto all_of = [](std::string_view part, auto& out) {
    auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), out);
    return error == std::errc() && end == part.data() + part.size();
  };
  size_t colon = text.find(':');
  bool good = false;
  if (colon == std::string::npos) {
    good = all_of(text, s.share) && s.share >= 0 && s.share <= .99;
  } else {
    std::string_view t = text;
    good = all_of(t.substr(0, colon), s.keep) && all_of(t.substr(colon + 1), s.of) && s.keep >= 1 &&
           s.keep < s.of && s.of <= 64 && std::has_single_bit(static_cast<uint64_t>(s.of));
    s.share = good ? 1 - static_cast<double>(s.keep) / static_cast<double>(s.of) : 0;
  }
  if (!good) return usage("{} is not a sparsity, as 0.5 or 2:4", in_quotes(text));
  return s;
}

std::string sparsity_text(const Sparsity& s) {
  return s.of > 0 ? fmt::format("{}:{}", s.keep, s.of) : fmt::format("{}", s.share);
}

void prune_smallest(std::span<const float> scores, double share, std::span<uint8_t> pruned) {
  auto count = static_cast<size_t>(share * static_cast<double>(scores.size()) + .5);
  thread_local std::vector<uint32_t> order;
  order.resize(scores.size());
  std::iota(order.begin(), order.end(), 0u);
  auto smaller = [&](uint32_t a, uint32_t b) {
    return scores[a] != scores[b] ? scores[a] < scores[b] : a < b;
  };
  std::nth_element(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count), order.end(),
                   smaller);
  std::fill(pruned.begin(), pruned.end(), uint8_t{0});
  for (size_t i = 0; i < count; ++i) pruned[order[i]] = 1;
}

}  // namespace nibble
