#include "model/lora.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "formats/pytorch_bin.h"
#include "formats/safetensors.h"
#include "model/blas.h"
#include "model/roles.h"

namespace nibble {
namespace {

constexpr std::string_view kPrefix = "base_model.model.", kA = ".lora_A.weight",
                           kB = ".lora_B.weight";
constexpr double kMostRank = 1 << 20;

// Fields that ask for more than W + scale B A, and the name of what they are.
struct Foreign {
  const char *field, *name;
};
constexpr Foreign kForeign[] = {{"use_dora", "DoRA"},
                                {"use_qalora", "QALoRA"},
                                {"use_bdlora", "BD-LoRA"},
                                {"lora_bias", "a bias of lora_B"},
                                {"modules_to_save", "modules_to_save"},
                                {"layer_replication", "layer_replication"},
                                {"target_parameters", "target_parameters"},
                                {"trainable_token_indices", "trainable_token_indices"},
                                {"alora_invocation_tokens", "activated LoRA"},
                                {"arrow_config", "Arrow"},
                                {"kasa_config", "KaSA"},
                                {"monteclora_config", "MonteCLoRA"}};
// Initial values that leave the base model changed; the adapter is then relative to that.
constexpr std::string_view kChangeBase[] = {"pissa", "olora", "corda", "loftq", "lora_ga"};

bool is_set(const Json& config, const char* field) {
  auto it = config.find(field);
  if (it == config.end() || it->is_null() || *it == false) return false;
  return !(it->is_structured() && it->empty());
}

Status refuse_foreign(const Json& c, const std::string& what) {
  std::string type = NB_TRY(get_string(c, "peft_type", {}, what));
  if (type != "LORA") return fail("{}: peft_type {} is not read; LORA is", what, in_quotes(type));
  for (const Foreign& f : kForeign)
    if (is_set(c, f.field)) return fail("{}: {} ({}) cannot be merged", what, f.name, f.field);
  std::string bias = NB_TRY(get_string(c, "bias", "none", what));
  if (bias != "none")
    return fail("{}: trained biases (bias {}) cannot be merged", what, in_quotes(bias));
  auto init = c.find("init_lora_weights");
  if (init != c.end() && init->is_string())
    for (std::string_view name : kChangeBase)
      if (init->get_ref<const std::string&>().starts_with(name))
        return fail("{}: init_lora_weights {} changes the base model; save the adapter converted",
                    what, in_quotes(init->get<std::string>()));
  return {};
}

using Shapes = std::map<std::string, std::array<int64_t, 2>>;
// The linears that an adapter may change. A tied head is the embedding too.
Shapes linears_of(const DecoderConfig& c) {
  Shapes out;
  for (int64_t layer = 0; layer < c.layers; ++layer)
    for (const LinearSpec& s : block_linears(c, layer)) out[s.module] = {s.n, s.k};
  if (!c.tied_head) out[head_module(c)] = {c.vocab, c.embedding_width};
  return out;
}

// The model's module by the name that it has in the adapter: the body's prefix may differ.
const Shapes::value_type* find_linear(const Shapes& linears, const Names& names,
                                      const std::string& name) {
  if (auto it = linears.find(name); it != linears.end()) return &*it;
  for (const std::string& base : names.bases) {
    if (!name.starts_with(base)) continue;
    auto it = linears.find(names.base + name.substr(base.size()));
    if (it != linears.end()) return &*it;
  }
  return nullptr;
}

Result<std::vector<NamedTensor>> open_tensors(const std::string& folder) {
  std::string safe = folder + "/adapter_model.safetensors", pickled = folder + "/adapter_model.bin";
  if (path_exists(safe)) return NB_TRY(open_safetensors(safe)).tensors;
  if (path_exists(pickled)) return open_pytorch_bin(pickled);
  return fail("{}: has no adapter_model.safetensors", folder);
}

Result<std::vector<float>> finite(const TensorView& v, const std::string& name) {
  std::vector<float> out(static_cast<size_t>(v.elements()));
  to_float(v.dtype, v.bytes.data(), v.elements(), out.data());
  for (float f : out)
    if (!std::isfinite(f)) return fail("{}: holds {}", name, f);
  return out;
}

}  // namespace

double LoraAdapter::Patterns::of(const std::string& module, double otherwise) const {
  for (const auto& [pattern, value] : list)
    if (pattern.match(module) != NamePattern::Match::kNone) return value;
  return otherwise;
}

Result<LoraAdapter::Patterns> LoraAdapter::parse_patterns(const Json& config, const char* key,
                                                          const std::string& what) {
  Patterns out;
  auto it = config.find(key);
  if (it == config.end() || it->is_null()) return out;
  constexpr size_t kMost = 20'000;
  if (!it->is_object() || it->size() > kMost)
    return fail("{}: {} should be an object of at most {} patterns", what, key, kMost);
  for (const auto& [pattern, value] : it->items()) {
    if (!value.is_number()) return fail("{}: {} {} is no number", what, key, in_quotes(pattern));
    // As PEFT matches it: the whole name or what follows a dot.
    out.list.emplace_back(NB_TRY(NamePattern::compile("re:(.*\\.)?(" + pattern + ")$", what)),
                          value.get<double>());
  }
  return out;
}

Status LoraAdapter::take(const Json& config, const std::string& what, const DecoderConfig& model,
                         std::vector<NamedTensor> tensors) {
  double rank = NB_TRY(get_number(config, "r", 8, what));
  double alpha = NB_TRY(get_number(config, "lora_alpha", 8, what));
  bool rslora = NB_TRY(get_bool(config, "use_rslora", false, what));
  Patterns ranks = NB_TRY(parse_patterns(config, "rank_pattern", what)),
           alphas = NB_TRY(parse_patterns(config, "alpha_pattern", what));
  Shapes linears = linears_of(model);
  std::map<std::string, std::string> asked;  // module: the name that it has in the adapter
  for (NamedTensor& t : tensors) {
    bool A = t.name.ends_with(kA), B = t.name.ends_with(kB);
    if (!t.name.starts_with(kPrefix) || !(A || B))
      return fail("{}: the tensor {} is none of LoRA's", folder_, in_quotes(t.name));
    std::string name = t.name.substr(kPrefix.size(), t.name.size() - kPrefix.size() - kA.size());
    const auto* linear = find_linear(linears, model.names, name);
    if (!linear)
      return fail("{}: changes {}, which is no linear of this model{}", folder_, in_quotes(name),
                  name == head_module(model) ? " (its head is the embedding)" : "");
    if (!is_float(t.view.dtype))
      return fail("{}: tensor {} is {}, should be F32, F16 or BF16", folder_, in_quotes(t.name),
                  dtype_name(t.view.dtype));
    asked[linear->first] = name;
    Update& u = modules_[linear->first];
    (A ? u.A : u.B) = std::move(t.view);
  }
  if (modules_.empty()) return fail("{}: changes nothing", folder_);
  for (auto& [module, u] : modules_) {
    auto [n, k] = linears[module];
    double r = ranks.of(asked[module], rank), a = alphas.of(asked[module], alpha);
    if (!(r >= 1 && r <= kMostRank && r == std::floor(r)) || !std::isfinite(a))
      return fail("{}: rank {} and alpha {} of {} cannot be", what, r, a, in_quotes(module));
    auto whole = static_cast<int64_t>(r);
    auto is = [](const TensorView& v, int64_t rows, int64_t columns) {
      return v.owner && v.shape == std::vector{rows, columns};
    };
    if (!is(u.A, whole, k) || !is(u.B, n, whole))
      return fail("{}: {} has lora_A {} and lora_B {}, should have [{}, {}] and [{}, {}]", folder_,
                  in_quotes(module), u.A.owner ? shape_text(u.A.shape) : "missing",
                  u.B.owner ? shape_text(u.B.shape) : "missing", whole, k, n, whole);
    u.scale = static_cast<float>(a / (rslora ? std::sqrt(r) : r));
  }
  return {};
}

Result<std::shared_ptr<const LoraAdapter>> LoraAdapter::open(const std::string& folder,
                                                             const DecoderConfig& model) {
  std::string what = folder + "/adapter_config.json";
  if (!path_exists(what))
    return fail("{}: has no adapter_config.json, so it is no PEFT adapter", folder);
  Json config = NB_TRY(read_json(what));
  if (!config.is_object()) return fail("{}: not a JSON object", what);
  NB_OK(refuse_foreign(config, what));
  auto out = std::make_shared<LoraAdapter>();
  out->folder_ = folder;
  std::vector<NamedTensor> tensors = NB_TRY(open_tensors(folder));
  out->digest_ = NB_TRY(digest_of(NB_TRY(read_file(what)), tensors));
  NB_OK(out->take(config, what, model, std::move(tensors)));
  return out;
}

Status LoraAdapter::add(const std::string& module, int64_t n, int64_t k, float* w) const {
  const Update& u = modules_.at(module);
  std::string name = fmt::format("{}: {}", folder_, in_quotes(module));
  std::vector<float> A = NB_TRY(finite(u.A, name)), B = NB_TRY(finite(u.B, name));
  auto rank = static_cast<int>(u.A.dim(0)), columns = static_cast<int>(k);
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, static_cast<int>(n), columns, rank,
              u.scale, B.data(), rank, A.data(), columns, 1, w, columns);
  return {};
}

}  // namespace nibble
