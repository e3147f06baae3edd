#include "tensor/scheme.h"

#include <charconv>

#include "base/text.h"
#include "tensor/ggml_grids.h"

namespace nibble {
namespace {

std::optional<Scheme> block_scheme(std::string_view name) {
  for (const GgmlType& t : ggml_types())
    if (ggml_grids(t) && lower_ascii(t.name) == name) return Scheme::of_blocks(t);
  return std::nullopt;
}

}  // namespace

Scheme Scheme::of_blocks(const GgmlType& type) {
  const GgmlGrids& g = *ggml_grids(type);
  return {.bits = g.bits,
          .symmetry = g.bits == 8 ? Symmetry::kSymmetric : Symmetry::kFullRange,
          .group = g.group,
          .blocks = &type};
}

Result<Scheme> Scheme::parse(std::string_view text) {
  auto bad = [&] {
    return usage(
        "\"{}\" is not a scheme; a scheme is w{{2..8}}[g{{N}}|t][-asym|-full], as w4g128-asym or "
        "w8, or a block type of GGUF, as q4_k",
        text);
  };
  if (std::optional<Scheme> blocks = block_scheme(text)) return *blocks;
  Scheme s;
  std::string_view rest = text;
  if (rest.size() < 2 || rest[0] != 'w' || rest[1] < '2' || rest[1] > '8') return bad();
  s.bits = rest[1] - '0';
  rest.remove_prefix(2);
  if (rest.starts_with('t')) {
    s.group = kTensor;
    rest.remove_prefix(1);
  } else if (rest.starts_with('g')) {
    auto [end, error] = std::from_chars(rest.data() + 1, rest.data() + rest.size(), s.group);
    if (error != std::errc() || s.group < 1 || s.group > (1 << 24)) return bad();
    rest.remove_prefix(static_cast<size_t>(end - rest.data()));
  }
  if (rest == "-asym")
    s.symmetry = Symmetry::kAsymmetric;
  else if (rest == "-full")
    s.symmetry = Symmetry::kFullRange;
  else if (!rest.empty())
    return bad();
  return s;
}

std::string Scheme::name() const {
  if (blocks) return lower_ascii(blocks->name);
  std::string group_part = group == kTensor ? "t" : group > 0 ? fmt::format("g{}", group) : "";
  const char* tail = symmetry == Symmetry::kAsymmetric  ? "-asym"
                     : symmetry == Symmetry::kFullRange ? "-full"
                                                        : "";
  return fmt::format("w{}{}{}", bits, group_part, tail);
}

}  // namespace nibble
