#include "model/config_reader.h"

#include <algorithm>

namespace nibble {

bool ConfigReader::has(const char* key) const {
  auto it = json_->find(key);
  return it != json_->end() && !it->is_null();
}

const char* ConfigReader::first(std::span<const char* const> keys) const {
  for (const char* key : keys)
    if (has(key)) return key;
  return keys[0];
}

Result<ConfigReader> ConfigReader::object(const char* key) const {
  auto it = json_->find(key);
  if (it == json_->end() || !it->is_object())
    return fail("{}: \"{}\" should be an object", what_, key);
  return ConfigReader(*it, what_);
}

Result<int64_t> ConfigReader::count(const char* key, std::optional<int64_t> fallback,
                                    int64_t most) const {
  int64_t v = NB_TRY(get_int(*json_, key, fallback, what_));
  if (v < 1 || v > most)
    return fail("{}: \"{}\" is {}, which is outside 1..{}", what_, key, v, most);
  return v;
}

Result<double> ConfigReader::positive(const char* key, std::optional<double> fallback) const {
  double v = NB_TRY(get_number(*json_, key, fallback, what_));
  if (!(v > 0) || !std::isfinite(v))
    return fail("{}: \"{}\" is {}, should be positive", what_, key, v);
  return v;
}

Result<double> ConfigReader::optional_positive(const char* key, double fallback) const {
  if (has(key)) return positive(key, std::nullopt);
  return names(key) ? 0 : fallback;
}

Result<std::vector<double>> ConfigReader::numbers(const char* key) const {
  std::vector<double> out;
  auto it = json_->find(key);
  if (it == json_->end() || !it->is_array())
    return fail("{}: \"{}\" should be a list of numbers", what_, key);
  for (const Json& v : *it) {
    if (!v.is_number()) return fail("{}: \"{}\" should be a list of numbers", what_, key);
    out.push_back(v.get<double>());
  }
  return out;
}

Result<Activation> ConfigReader::activation(const char* key, const char* fallback) const {
  static const std::pair<const char*, Activation> kKnown[] = {
      {"silu", Activation::kSilu},
      {"swish", Activation::kSilu},
      {"gelu", Activation::kGelu},
      {"gelu_python", Activation::kGelu},
      {"gelu_new", Activation::kGeluTanh},
      {"gelu_fast", Activation::kGeluTanh},
      {"gelu_pytorch_tanh", Activation::kGeluTanh},
      {"quick_gelu", Activation::kGeluQuick},
      {"relu", Activation::kRelu},
      {"relu2", Activation::kRelu2},
  };
  std::string name = NB_TRY(text(key, fallback)), list;
  for (const auto& [known, f] : kKnown) {
    if (name == known) return f;
    list += (list.empty() ? "" : ", ") + std::string(known);
  }
  return fail("{}: activation {} is not known; known: {}", what_, in_quotes(name), list);
}

namespace {

using Kind = RopeSpec::Kind;

Result<Kind> rope_kind(const ConfigReader& r) {
  static const std::pair<const char*, Kind> kKnown[] = {
      {"default", Kind::kDefault}, {"linear", Kind::kLinear}, {"dynamic", Kind::kDynamic},
      {"llama3", Kind::kLlama3},   {"yarn", Kind::kYarn},     {"longrope", Kind::kLongrope},
      {"su", Kind::kLongrope}};
  std::string older = NB_TRY(r.text("type", "default"));
  std::string type = NB_TRY(r.text("rope_type", older)), list;
  // Phi-3's first checkpoints say yarn of what became longrope.
  if (type == "yarn" && r.has("short_factor")) return Kind::kLongrope;
  for (const auto& [known, kind] : kKnown) {
    if (type == known) return kind;
    list += (list.empty() ? "" : ", ") + std::string(known);
  }
  return fail("{}: rope scaling {} is not known; known: {}", r.what(), in_quotes(type), list);
}

Status read_llama3(const ConfigReader& r, RopeSpec& rope) {
  rope.low_freq_factor = NB_TRY(r.positive("low_freq_factor", 1));
  rope.high_freq_factor = NB_TRY(r.positive("high_freq_factor", 4));
  if (rope.high_freq_factor <= rope.low_freq_factor)
    return fail("{}: \"high_freq_factor\" should be larger than \"low_freq_factor\"", r.what());
  return {};
}

Status read_yarn(const ConfigReader& r, RopeSpec& rope) {
  rope.beta_fast = NB_TRY(r.positive("beta_fast", 32));
  rope.beta_slow = NB_TRY(r.positive("beta_slow", 1));
  rope.truncate = NB_TRY(r.flag("truncate", true));
  auto scale = [&](double m) { return rope.factor <= 1 ? 1 : .1 * m * std::log(rope.factor) + 1; };
  double m = NB_TRY(get_number(r.json(), "mscale", 0, r.what()));
  double all = NB_TRY(get_number(r.json(), "mscale_all_dim", 0, r.what()));
  double usual = m != 0 && all != 0 ? scale(m) / scale(all) : scale(1);
  rope.attention_factor = NB_TRY(r.positive("attention_factor", usual));
  return {};
}

Status read_longrope(const ConfigReader& r, int64_t context, RopeSpec& rope) {
  for (auto& [key, factors] :
       {std::pair("short_factor", &rope.short_factors), {"long_factor", &rope.long_factors}}) {
    for (double v : NB_TRY(r.numbers(key))) {
      if (!(v > 0)) return fail("{}: \"{}\" holds {}, should be positive", r.what(), key, v);
      factors->push_back(static_cast<float>(v));
    }
    if (static_cast<int64_t>(factors->size()) != rope.dims / 2)
      return fail("{}: \"{}\" has {} numbers, should have {}", r.what(), key, factors->size(),
                  rope.dims / 2);
  }
  auto original = static_cast<double>(rope.original_context);
  double factor = NB_TRY(r.positive("factor", static_cast<double>(context) / original));
  double usual =
      factor <= 1 || original <= 1 ? 1 : std::sqrt(1 + std::log(factor) / std::log(original));
  rope.attention_factor = NB_TRY(r.positive("attention_factor", usual));
  return {};
}

}  // namespace

Result<RopeSpec> ConfigReader::rope(int64_t head_dim, int64_t context, double theta,
                                    double share) const {
  static const Json kNothing = Json::object();
  for (const char* key : {"rope_parameters", "rope_scaling"})
    if (has(key)) return NB_TRY(object(key)).rope(*this, head_dim, context, theta, share);
  return ConfigReader(kNothing, what_).rope(*this, head_dim, context, theta, share);
}

Result<RopeSpec> ConfigReader::rope(const ConfigReader& outer, int64_t head_dim, int64_t context,
                                    double theta, double share) const {
  constexpr const char* kOriginal = "original_max_position_embeddings";
  constexpr int64_t kMostContext = int64_t{1} << 31;
  RopeSpec rope;
  rope.theta = NB_TRY(positive("rope_theta", NB_TRY(outer.positive("rope_theta", theta))));
  share = NB_TRY(
      positive("partial_rotary_factor", NB_TRY(outer.positive("partial_rotary_factor", share))));
  if (share > 1)
    return fail("{}: \"partial_rotary_factor\" is {}, a head can be rotated once", what_, share);
  rope.dims = static_cast<int64_t>(static_cast<double>(head_dim) * share);
  if (rope.dims < 2 || rope.dims > head_dim || rope.dims % 2 != 0)
    return fail(
        "{}: {} of the {} numbers of a head are rotated, should be even and as many at most", what_,
        rope.dims, head_dim);
  rope.kind = NB_TRY(rope_kind(*this));
  rope.original_context = context;
  if (rope.kind == Kind::kDefault) return rope;
  if (rope.kind == Kind::kLlama3 || rope.kind == Kind::kYarn || rope.kind == Kind::kLongrope)
    rope.original_context = NB_TRY(
        outer.count(kOriginal, NB_TRY(count(kOriginal, context, kMostContext)), kMostContext));
  if (rope.kind == Kind::kLongrope) {
    NB_OK(read_longrope(*this, context, rope));
    return rope;
  }
  bool stated = rope.kind != Kind::kYarn || has("factor");
  rope.factor = stated ? NB_TRY(positive("factor", std::nullopt))
                       : static_cast<double>(context) / static_cast<double>(rope.original_context);
  if (rope.kind == Kind::kLlama3) NB_OK(read_llama3(*this, rope));
  if (rope.kind == Kind::kYarn) NB_OK(read_yarn(*this, rope));
  if (rope.kind == Kind::kDynamic && (rope.dims <= 2 || rope.factor < 1))
    return fail("{}: dynamic rope scaling needs a factor of 1 or more and heads above 2", what_);
  return rope;
}

Result<int64_t> ConfigReader::window(int64_t fallback) const {
  if (!has("sliding_window")) return names("sliding_window") ? 0 : fallback;
  int64_t window = NB_TRY(get_int(*json_, "sliding_window", 0, what_));
  if (window < 0) return fail("{}: \"sliding_window\" is {}", what_, window);
  return window;
}

Status ConfigReader::windows(int64_t window, const std::function<bool(int64_t layer)>& rule,
                             DecoderConfig& out) const {
  bool listed = has("layer_types");
  const Json types = listed ? (*json_)["layer_types"] : Json::array();
  if (listed && (!types.is_array() || types.size() != out.blocks.size()))
    return fail("{}: \"layer_types\" should list {} layers", what_, out.blocks.size());
  for (size_t i = 0; i < out.blocks.size(); ++i) {
    bool sliding = listed ? types[i] == "sliding_attention" : rule(static_cast<int64_t>(i));
    if (listed && !sliding && types[i] != "full_attention")
      return fail("{}: layer type {} is not known; known: full_attention, sliding_attention", what_,
                  in_quotes(types[i].dump()));
    if (sliding) out.blocks[i].window = window;
  }
  return {};
}

}  // namespace nibble
