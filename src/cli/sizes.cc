#include "cli/sizes.h"

#include <algorithm>

#include "base/checked.h"
#include "base/file.h"
#include "formats/gguf_model.h"
#include "model/kv_cache.h"

namespace nibble {
namespace {

// Far above any model; below it no sum here can overflow.
constexpr int64_t kMostParameters = int64_t{1} << 50;

const char* role_name(const LinearSpec& spec) {
  constexpr std::array names = {"q", "k", "v", "qkv", "o", "gate", "up", "gate_up", "down"};
  constexpr std::array experts = {
      "", "", "", "", "", "experts' gate", "experts' up", "", "experts' down"};
  static_assert(names.size() == kRoles && experts.size() == kRoles);
  return (spec.expert < 0 ? names : experts)[static_cast<size_t>(spec.role)];
}

const char* part_of(const LinearSpec& spec) {
  if (spec.expert >= 0) return "experts";
  return spec.stage == Stage::kQkv || spec.stage == Stage::kOut ? "attention" : "mlp";
}

// Matrices of the same name are one row.
void add(std::vector<RoleSize>& out, const std::string& role, const char* part,
         int64_t parameters) {
  auto at = std::find_if(out.begin(), out.end(), [&](const auto& r) { return r.role == role; });
  if (at == out.end())
    out.push_back({role, part, parameters});
  else
    at->parameters += parameters;
}

// Parameters beside the matrices of blocks, embedding and head.
int64_t vector_parameters(const DecoderConfig& c) {
  int64_t total = c.head_bias ? c.vocab : 0;
  for (const VectorSpec& v : norm_vectors(c)) total += v.size;
  for (int64_t layer = 0; layer < c.layers; ++layer)
    for (const LinearSpec& s : block_linears(c, layer)) total += s.bias ? s.n : 0;
  return total;
}

}  // namespace

Result<bool> has_weights(const std::string& folder) {
  if (is_gguf_model(folder)) return true;
  for (const std::string& name : NB_TRY(list_files(folder)))
    if (name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json") ||
        name == "pytorch_model.bin" || name == "pytorch_model.bin.index.json")
      return true;
  return false;
}

Result<DecoderConfig> read_model_config(const std::string& folder) {
  if (NB_TRY(has_weights(folder))) return NB_TRY(Weights::open(folder)).config();
  std::string path = folder + "/config.json";
  return config_without_weights(NB_TRY(read_json(path)), path);
}

Result<DecoderConfig> config_without_weights(const Json& config, const std::string& path) {
  DecoderConfig out = NB_TRY(parse_config(config, path));
  out.names.base = out.names.bases[0];
  return out;
}

Result<std::vector<RoleSize>> parameters_by_role(const DecoderConfig& c) {
  std::vector<RoleSize> out = {{"embedding", "embedding", c.vocab * c.embedding_width}};
  int64_t total = 0, biases = c.head_bias ? c.vocab : 0, norms = 0;
  auto absurd = [&] {
    return fail(
        "config.json describes a model of more than {} parameters; some size in it is wrong",
        kMostParameters);
  };
  for (int64_t layer = 0; layer < c.layers; ++layer)
    for (const LinearSpec& s : block_linears(c, layer)) {
      auto size = checked_product(std::array{s.n, s.k});
      if (!size || *size > kMostParameters || (total += *size) > kMostParameters) return absurd();
      add(out, role_name(s), part_of(s), *size);
      if (s.bias) biases += s.n;
    }
  for (int64_t layer = 0; layer < c.layers; ++layer)
    if (MatrixSpec m = router(c, layer); m.n > 0) add(out, "router", "experts", m.n * m.k);
  if (c.position_offset >= 0) add(out, "positions", "embedding", position_matrix(c).n * c.hidden);
  if (c.embedding_width != c.hidden)
    add(out, "projections", "embedding", 2 * c.hidden * c.embedding_width);
  if (!c.tied_head) add(out, "head", "head", c.vocab * c.embedding_width);
  for (const VectorSpec& v : norm_vectors(c)) norms += v.size;
  if (norms > 0) add(out, "norms", "norms", norms);
  if (biases > 0) add(out, "biases", "biases", biases);
  total = 0;
  for (const RoleSize& r : out)
    if ((total += r.parameters) > kMostParameters) return absurd();
  return out;
}

int64_t bytes_at(const DecoderConfig& c, std::optional<Scheme> scheme, int64_t kept_width) {
  int64_t linears = 0;
  for (int64_t layer = 0; layer < c.layers; ++layer)
    for (const LinearSpec& s : block_linears(c, layer))
      linears += scheme ? QuantizedMatrix::stored_bytes(*scheme, s.n, s.k) : 2 * s.n * s.k;
  int64_t kept = c.vocab * c.embedding_width * (c.tied_head ? 1 : 2) + vector_parameters(c);
  for (const MatrixSpec& m : other_matrices(c)) kept += m.n * m.k;
  return linears + kept_width * kept;
}

Result<int64_t> kv_cache_bytes(const DecoderConfig& c, int64_t tokens, KvType type) {
  auto elements = checked_product(std::array{c.layers, c.kv_heads, c.head_dim, tokens});
  if (!elements || *elements > kMostParameters)
    return fail("a KV cache of {} tokens is beyond any machine; some size in config.json is wrong",
                tokens);
  return KvCache::bytes(c.layers, c.kv_heads, c.head_dim, tokens, type);
}

std::vector<std::pair<std::string, int64_t>> quantized_linears(const Weights& weights) {
  std::vector<std::pair<std::string, int64_t>> out;
  for (int64_t layer = 0; layer < weights.config().layers; ++layer)
    for (const LinearSpec& s : block_linears(weights.config(), layer)) {
      std::string name = weights.form_of(s.module);
      if (name.empty()) continue;
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
