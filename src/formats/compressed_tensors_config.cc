#include <algorithm>

#include "formats/compressed_tensors.h"

namespace nibble {
namespace {

constexpr const char* kPacked = "pack-quantized";
constexpr const char* kInt8 = "int-quantized";
constexpr const char* kMixed = "mixed-precision";

const Json& member(const Json& j, const char* key) {
  static const Json null;
  if (!j.is_object()) return null;
  auto it = j.find(key);
  return it == j.end() ? null : *it;
}

// Parts that change what the stored numbers mean and that we do not know.
Status refuse_foreign(const Json& q, const std::string& what) {
  for (const char* key : {"transform_config", "moe_sparsity_config"})
    if (!member(q, key).empty()) return fail("{}: has a {}, which is not read", what, key);
  std::string sparse = NB_TRY(get_string(member(q, "sparsity_config"), "format", "dense", what));
  if (sparse != "dense")
    return fail("{}: has the sparse format {}, which is not read", what, in_quotes(sparse));
  return {};
}

Status check_format(const std::string& format, const std::string& what) {
  // nibble-only: what quant/artifact.cc writes where other loaders must stay away.
  for (const char* known :
       {kPacked, kInt8, "naive-quantized", kMixed, "nibble-only", "float-quantized",
        "nvfp4-pack-quantized", "mxfp4-pack-quantized", "mxfp8-quantized"})
    if (format == known) return {};
  return fail(
      "{}: format {} is not read; pack-quantized, int-quantized, float-quantized, "
      "nvfp4-pack-quantized, mxfp4-pack-quantized and mxfp8-quantized are",
      what, in_quotes(format));
}

Result<int64_t> parse_group_size(const Json& weights, const std::string& what) {
  int64_t size = NB_TRY(get_int(weights, "group_size", 0, what));
  std::string guess = size > 0 ? "group" : size < 0 ? "channel" : "tensor";
  std::string strategy = NB_TRY(get_string(weights, "strategy", guess, what));
  if (strategy == "tensor") return Scheme::kTensor;
  if (strategy == "channel") return Scheme::kChannel;
  if (strategy != "group")
    return fail("{}: strategy {} is not read; tensor, channel and group are", what,
                in_quotes(strategy));
  if (size < 1 || size > (1 << 24)) return fail("{}: group_size cannot be {}", what, size);
  return size;
}

// [128, 128], or none.
Result<std::array<int64_t, 2>> parse_block(const Json& weights, const std::string& what) {
  const Json& block = member(weights, "block_structure");
  std::array<int64_t, 2> out = {1, 1};
  bool good = block.is_array() && block.size() == 2;
  for (size_t i = 0; i < 2 && good; ++i) {
    good = block[i].is_number_integer() && block[i].get<int64_t>() >= 1 &&
           block[i].get<int64_t>() <= (1 << 24);
    if (good) out[i] = block[i].get<int64_t>();
  }
  if (!good)
    return fail("{}: block_structure is {}, should be two sizes as [128, 128]", what,
                in_quotes(block.dump()));
  return out;
}

// FP8 by tensor, row, block or group; FP4 by group.
Result<CompressedWeights> parse_floats(const Json& weights, int64_t bits, const std::string& what) {
  CompressedWeights w;
  w.bits = static_cast<int>(bits);
  if (bits != 4 && bits != 8) return fail("{}: floats of {} bits are not read", what, bits);
  if (!NB_TRY(get_bool(weights, "symmetric", true, what)))
    return fail("{}: floats with zero points are not read", what);
  std::string strategy = NB_TRY(get_string(weights, "strategy", "tensor", what));
  if (strategy == "block") {
    auto [rows, columns] = NB_TRY(parse_block(weights, what));
    w.block_rows = rows;
    w.block_columns = columns;
  } else if (strategy == "group" || strategy == "tensor_group") {
    w.block_columns = NB_TRY(get_int(weights, "group_size", {}, what));
    if (w.block_columns < 1 || w.block_columns > (1 << 24))
      return fail("{}: group_size cannot be {}", what, w.block_columns);
  } else if (bits == 4 || (strategy != "tensor" && strategy != "channel")) {
    return fail("{}: strategy {} is not read for floats of {} bits", what, in_quotes(strategy),
                bits);
  }
  return w;
}

Result<CompressedWeights> parse_weights(const Json& weights, const std::string& what) {
  if (!weights.is_object()) return fail("{}: names no \"weights\"", what);
  std::string type = NB_TRY(get_string(weights, "type", "int", what));
  if (type != "int" && type != "float")
    return fail("{}: weights of type {} are not read", what, in_quotes(type));
  int64_t bits = NB_TRY(get_int(weights, "num_bits", 8, what));
  if (bits < 2 || bits > 8) return fail("{}: num_bits is {}, should be 2 to 8", what, bits);
  if (member(weights, "dynamic") == true)
    return fail("{}: weights cannot be quantized dynamically", what);
  if (type == "float") return parse_floats(weights, bits, what);
  const Json& order = member(weights, "actorder");
  Scheme s;
  s.bits = static_cast<int>(bits);
  s.symmetry = NB_TRY(get_bool(weights, "symmetric", true, what)) ? Symmetry::kSymmetric
                                                                  : Symmetry::kAsymmetric;
  s.group = NB_TRY(parse_group_size(weights, what));
  CompressedWeights w;
  w.scheme = s;
  w.reordered = order == true || order == "group" || order == "dynamic";
  return w;
}

Result<std::vector<NamePattern>> parse_patterns(const Json& list, const std::string& what) {
  constexpr size_t kMost = 20'000;
  if (!list.is_array() || list.size() > kMost)
    return fail("{}: should be a list of at most {} names", what, kMost);
  std::vector<NamePattern> out;
  for (const Json& name : list) {
    if (!name.is_string()) return fail("{}: should hold names only", what);
    out.push_back(NB_TRY(NamePattern::compile(name.get_ref<const std::string&>(), what)));
  }
  return out;
}

Json describe(StatedInputs inputs) {
  if (inputs == StatedInputs::kNone) return nullptr;
  bool token = inputs == StatedInputs::kToken;
  return {{"num_bits", 8},         {"type", "int"},
          {"symmetric", true},     {"strategy", token ? "token" : "tensor"},
          {"group_size", nullptr}, {"dynamic", token},
          {"observer", nullptr}};
}

// What a config group says of its weights and inputs, and the format they are stored in.
Json describe(const QuantizedModule& q, bool pack) {
  const Scheme& s = q.scheme;
  bool tensor = s.group == Scheme::kTensor, channel = s.group == Scheme::kChannel;
  Json weights = {{"num_bits", s.bits},
                  {"type", "int"},
                  {"symmetric", !s.asymmetric()},
                  {"strategy", tensor ? "tensor" : channel ? "channel" : "group"},
                  {"group_size", nullptr},
                  {"dynamic", false},
                  {"actorder", nullptr},
                  {"observer", nullptr}};
  if (s.group > 0) weights["group_size"] = s.group;
  return {{"targets", Json::array()},
          {"weights", std::move(weights)},
          {"input_activations", describe(q.inputs)},
          {"output_activations", nullptr},
          {"format", s.bits == 8 && !pack ? kInt8 : kPacked}};
}

// Config groups with the modules of each; those that readers cannot tell apart share one.
struct Described {
  Json group;
  std::vector<const QuantizedModule*> modules;
};
std::vector<Described> group_modules(const std::vector<QuantizedModule>& quantized,
                                     bool pack = false) {
  std::vector<Described> groups;
  for (const auto& q : quantized) {
    Json group = describe(q, pack);
    auto it = std::find_if(groups.begin(), groups.end(),
                           [&](const Described& d) { return d.group == group; });
    if (it == groups.end()) it = groups.insert(it, {std::move(group), {}});
    it->modules.push_back(&q);
  }
  return groups;
}

// transformers expects packed zero points, and those of a per-tensor scheme, in other shapes than
// the package stores; only with "dequantize" does it skip that check, and then for one scheme.
bool loads_only_dequantized(const Scheme& s, bool pack_bytes) {
  return s.asymmetric() && (s.bits < 8 || pack_bytes || s.group == Scheme::kTensor);
}

// GPT-2's linears.
bool is_conv1d(std::string_view module) {
  return module.ends_with(".c_attn") || module.ends_with(".c_proj") || module.ends_with(".c_fc");
}

}  // namespace

Result<CompressedTensorsConfig::Group> CompressedTensorsConfig::parse_group(
    const Json& group, const Json& all, const std::string& what) {
  if (!group.is_object())
    return fail("{}: preset schemes are not read; each group must spell its weights out", what);
  std::string format = NB_TRY(get_string(all, "format", kMixed, what));
  NB_OK(check_format(NB_TRY(get_string(group, "format", format, what)), what));
  Group out;
  out.targets = NB_TRY(parse_patterns(member(group, "targets"), what + " targets"));
  out.weights = NB_TRY(parse_weights(member(group, "weights"), what));
  out.weights.rounds_inputs = !member(group, "input_activations").is_null();
  return out;
}

Result<CompressedTensorsConfig> CompressedTensorsConfig::parse(const Json& q,
                                                               const std::string& where) {
  CompressedTensorsConfig out;
  NB_OK(refuse_foreign(q, where));
  const Json& groups = member(q, "config_groups");
  if (!groups.is_object() || groups.empty()) return fail("{}: has no config_groups", where);
  for (const auto& [name, group] : groups.items())
    out.groups_.push_back(
        NB_TRY(parse_group(group, q, fmt::format("{} group {}", where, in_quotes(name)))));
  const Json& ignore = member(q, "ignore");
  if (!ignore.is_null()) out.ignore_ = NB_TRY(parse_patterns(ignore, where + " ignore"));
  return out;
}

const CompressedWeights* CompressedTensorsConfig::weights_of(const std::string& module) const {
  using Match = NamePattern::Match;
  for (const auto& pattern : ignore_)
    if (pattern.match(module) != Match::kNone) return nullptr;
  const CompressedWeights* best = nullptr;
  Match best_match = Match::kNone;
  std::string_view best_text;
  for (const auto& group : groups_)
    for (const auto& pattern : group.targets) {
      Match m = pattern.match(module);
      // The package breaks ties between patterns by their text, not by the order of the groups.
      if (m < best_match || m == Match::kNone) continue;
      if (m == best_match && pattern.text() >= best_text) continue;
      best = &group.weights;
      best_match = m;
      best_text = pattern.text();
    }
  return best;
}

bool CompressedTensorsConfig::keeps_float_inputs(const std::string& module) const {
  bool any = std::ranges::any_of(groups_, [](const Group& g) { return g.weights.rounds_inputs; });
  const CompressedWeights* w = any ? weights_of(module) : nullptr;
  return w && !w->rounds_inputs;
}

Json compressed_tensors_config(const std::vector<QuantizedModule>& quantized,
                               const std::vector<std::string>& ignored_linears, bool pack) {
  auto groups = group_modules(quantized, pack);
  Json config_groups = Json::object();
  std::string format = groups.empty() ? kPacked : groups[0].group["format"].get<std::string>();
  for (size_t i = 0; i < groups.size(); ++i) {
    Json& group = groups[i].group;
    if (group["format"] != format) format = kMixed;
    if (groups.size() == 1)
      group["targets"] = {"Linear"};
    else
      for (const auto* q : groups[i].modules) group["targets"].push_back(exact_pattern(q->module));
    config_groups[fmt::format("group_{}", i)] = std::move(group);
  }
  Json out = {{"quant_method", "compressed-tensors"},
              {"format", format},
              {"quantization_status", "compressed"},
              {"config_groups", std::move(config_groups)},
              {"ignore", ignored_linears},
              {"kv_cache_scheme", nullptr}};
  // See loads_only_dequantized; eight bits load either way.
  if (groups.size() == 1 && quantized[0].scheme.asymmetric()) out["dequantize"] = true;
  return out;
}

std::string why_only_nibble(const std::vector<QuantizedModule>& quantized,
                            const std::vector<std::pair<int64_t, int64_t>>& shapes,
                            bool pack_bytes) {
  NB_CHECK(quantized.size() == shapes.size());
  const QuantizedModule* needs_dequantize = nullptr;
  for (size_t i = 0; i < quantized.size(); ++i) {
    const std::string& module = quantized[i].module;
    const Scheme& s = quantized[i].scheme;
    if (module.ends_with("embed_tokens"))
      return "the embedding is quantized, which it reads as floats";
    if (s.group > 0 && shapes[i].second % s.group != 0)
      return fmt::format("{} has {} columns, not a multiple of the group size {}", module,
                         shapes[i].second, s.group);
    if (is_conv1d(module))
      return fmt::format("{} is a Conv1D there, which compressed-tensors leaves at random values",
                         module);
    // transformers 5.23 joins experts in one tensor, and of compressed ones only those that are
    // packed and symmetric.
    if (module.contains(".experts.") && ((s.bits == 8 && !pack_bytes) || s.asymmetric()))
      return fmt::format("{} is an expert of {}, which it does not join with the others", module,
                         s.name());
    if (loads_only_dequantized(s, pack_bytes)) needs_dequantize = &quantized[i];
  }
  if (needs_dequantize && group_modules(quantized, pack_bytes).size() > 1)
    return fmt::format("asymmetric {} loads there only where all linears have it",
                       needs_dequantize->scheme.name());
  return "";
}

}  // namespace nibble
