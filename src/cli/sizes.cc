#include "cli/sizes.h"

#include <algorithm>

#include "base/checked.h"
#include "model/kv_cache.h"

namespace nibble {
namespace {

// Far above any model; below it no sum here can overflow.
constexpr int64_t kMostParameters = int64_t{1} << 50;

const char* role_name(Role role) {
  constexpr std::array names = {"q", "k", "v", "o", "gate", "up", "down"};
  static_assert(names.size() == kRoles);
  return names[static_cast<size_t>(role)];
}

int64_t norm_parameters(const DecoderConfig& c) {
  BlockNorms n = block_norms(c, 0);
  return c.layers * (n.attention.size + n.mlp.size + n.query.size + n.key.size) + c.hidden;
}

}  // namespace

Result<std::vector<RoleSize>> parameters_by_role(const DecoderConfig& c) {
  std::vector<RoleSize> out = {{"embedding", c.vocab * c.hidden}};
  int64_t biases = 0;
  auto absurd = [&] {
    return fail(
        "config.json describes a model of more than {} parameters; some size in it is wrong",
        kMostParameters);
  };
  for (const LinearSpec& s : block_linears(c, 0)) {
    auto all = checked_product(std::array{s.n, s.k, c.layers});
    if (!all || *all > kMostParameters) return absurd();
    out.push_back({role_name(s.role), *all});
    if (s.bias) biases += c.layers * s.n;
  }
  if (!c.tied_head) out.push_back({"head", c.vocab * c.hidden});
  out.push_back({"norms", norm_parameters(c)});
  if (biases > 0) out.push_back({"biases", biases});
  int64_t total = 0;
  for (const RoleSize& r : out) total += r.parameters;
  if (total > kMostParameters) return absurd();
  return out;
}

int64_t bytes_at(const DecoderConfig& c, std::optional<Scheme> scheme, int64_t kept_width) {
  int64_t linears = 0, biases = 0;
  for (const LinearSpec& s : block_linears(c, 0)) {
    linears += scheme ? QuantizedMatrix::stored_bytes(*scheme, s.n, s.k) : 2 * s.n * s.k;
    if (s.bias) biases += s.n;
  }
  int64_t kept =
      c.vocab * c.hidden * (c.tied_head ? 1 : 2) + norm_parameters(c) + c.layers * biases;
  return c.layers * linears + kept_width * kept;
}

Result<int64_t> kv_cache_bytes(const DecoderConfig& c) {
  auto elements = checked_product(std::array{c.layers, c.kv_heads, c.head_dim, c.context});
  if (!elements || *elements > kMostParameters)
    return fail("config.json describes a KV cache beyond any machine; some size in it is wrong");
  return KvCache::bytes(c.layers, c.kv_heads, c.head_dim, c.context);
}

std::vector<std::pair<std::string, int64_t>> quantized_linears(const Weights& weights) {
  std::vector<std::pair<std::string, int64_t>> out;
  for (int64_t layer = 0; layer < weights.config().layers; ++layer)
    for (const LinearSpec& s : block_linears(weights.config(), layer)) {
      auto scheme = weights.scheme_of(s.module);
      if (!scheme) continue;
      std::string name = scheme->name();
      auto at =
          std::find_if(out.begin(), out.end(), [&](const auto& e) { return e.first == name; });
      if (at == out.end())
        out.emplace_back(name, 1);
      else
        ++at->second;
    }
  return out;
}

}  // namespace nibble
