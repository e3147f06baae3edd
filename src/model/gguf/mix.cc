#include "model/gguf/mix.h"

#include <algorithm>

#include "model/gguf/family.h"

namespace nibble {
namespace {

using Name = GgufMix::Name;

// What the rules ask of a model.
struct Facts {
  int64_t layer, layers, queries;  // queries: heads that share a key head
  bool falcon, eight_experts, seventy;
  bool calibrated;

  // The first eighth, the last, and every third between them.
  bool counts() const {
    return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
  }
  bool first(int64_t share) const { return layer < layers / share; }
};

std::string_view architecture_of(const DecoderConfig& c) {
  const GgufFamily* family = gguf_family_of(c.model_type);
  return family ? family->architecture : "";
}

Facts facts_of(const DecoderConfig& c, int64_t layer, bool calibrated) {
  int64_t experts = 0;
  for (const LayerConfig& b : c.blocks) experts = std::max(experts, b.experts);
  std::string_view a = architecture_of(c);
  bool seventy = c.layers == 80 && (a == "qwen2" || (a == "llama" && c.heads != c.kv_heads));
  return {layer,         c.layers,     c.heads / std::max<int64_t>(1, c.kv_heads),
          a == "falcon", experts == 8, seventy,
          calibrated};
}

// Empty: the mixture's main type. The values' projection, alone or with queries and keys.
std::string_view value_type(const GgufMix& mix, const Facts& f) {
  std::string_view type = mix.type, out;
  bool shared = f.queries >= 4;
  switch (mix.rules) {
    case Name::kQ2:
      out = shared ? "Q4_K" : "Q3_K";
      break;
    case Name::kQ2S:
      out = shared ? "Q4_K" : "";
      break;
    case Name::kQ3M:
      out = f.layer < 2 ? "Q5_K" : "Q4_K";
      break;
    case Name::kQ3L:
      out = "Q5_K";
      break;
    case Name::kQ4M:
    case Name::kQ5M:
      out = f.counts() ? "Q6_K" : "";
      break;
    case Name::kQ4S:
      out = f.layer < 4 ? "Q5_K" : "";
      break;
    default:
      out = shared && (type == "IQ4_NL" || type == "IQ4_XS") ? "Q5_K" : "";
      break;
  }
  std::string_view now = out.empty() ? type : out;
  if (f.seventy && (now == "Q3_K" || now == "Q4_K")) out = "Q5_K";
  return f.eight_experts ? "Q8_0" : out;
}

std::string_view down_type(const GgufMix& mix, const Facts& f) {
  std::string_view type = mix.type;
  switch (mix.rules) {
    case Name::kQ2:
      return "Q3_K";
    case Name::kQ2S:
      return f.first(8) ? "Q4_K" : "";
    case Name::kQ3M:
      return f.first(16) ? "Q5_K" : !f.falcon || f.counts() ? "Q4_K" : "";
    case Name::kQ3L:
      return f.falcon ? "Q4_K" : "Q5_K";
    case Name::kQ4M:
      if (f.falcon) return f.first(16) ? "Q6_K" : f.counts() ? "Q5_K" : "";
      return f.counts() ? "Q6_K" : "";
    case Name::kQ5M:
      return f.counts() ? "Q6_K" : "";
    case Name::kQ4S:
      return !f.falcon && f.first(8) ? "Q5_K" : "";
    default:
      break;
  }
  if (!f.first(8)) return "";
  if (!f.calibrated) return type == "IQ4_NL" || type == "IQ4_XS" ? "Q5_K" : "";
  return type == "Q4_0" ? "Q4_1" : type == "Q5_0" ? "Q5_1" : "";
}

std::string_view output_type(const GgufMix& mix, const Facts& f) {
  if (f.falcon) return mix.rules == Name::kQ3L ? "Q4_K" : "";
  if (f.eight_experts) {
    constexpr std::string_view kRaised[] = {"q2_k",   "q3_k_s", "q3_k_m", "q4_k_s",
                                            "q4_k_m", "iq4_nl", "iq4_xs"};
    return std::ranges::find(kRaised, mix.name) != std::end(kRaised) ? "Q5_K" : "";
  }
  switch (mix.rules) {
    case Name::kQ2:
      return "Q3_K";
    case Name::kQ3M:
      return "Q4_K";
    case Name::kQ3L:
      return "Q5_K";
    default:
      return "";
  }
}

const GgmlType& named(std::string_view name, const GgufMix& mix) {
  return *find_ggml_type(name.empty() ? std::string_view(mix.type) : name);
}

}  // namespace

const GgufMix* find_gguf_mix(std::string_view name) {
  for (const GgufMix& m : kGgufMixes)
    if (name == m.name) return &m;
  return nullptr;
}

const GgmlType& gguf_linear_type(const GgufMix& mix, const DecoderConfig& c, int64_t layer,
                                 Role role, bool calibrated) {
  if (mix.rules == Name::kPure) return named("", mix);
  Facts f = facts_of(c, layer, calibrated);
  switch (role) {
    case Role::kV:
    case Role::kQkv:
      return named(value_type(mix, f), mix);
    case Role::kK:
      return named(f.eight_experts ? "Q8_0" : "", mix);
    case Role::kO:
      return named(output_type(mix, f), mix);
    case Role::kDown:
      return named(down_type(mix, f), mix);
    default:
      return named("", mix);
  }
}

const GgmlType& gguf_head_type(const GgufMix& mix, const DecoderConfig& c, int64_t k) {
  const GgmlType& type = named("", mix);
  if (type.block == 1) return type;
  bool eight = architecture_of(c) == "falcon" || k % type.block != 0 || type.name == "Q8_0";
  return named(eight ? "Q8_0" : "Q6_K", mix);
}

const GgmlType& gguf_embedding_type(const GgufMix& mix, const DecoderConfig& c, int64_t k) {
  bool own = !c.tied_head && mix.rules != Name::kPure;
  return own ? named("", mix) : gguf_head_type(mix, c, k);
}

const GgmlType& gguf_type_for_row(const GgmlType& type, int64_t k) {
  if (k % type.block == 0) return type;
  constexpr std::pair<std::string_view, std::string_view> kInstead[] = {
      {"Q2_K", "Q4_0"}, {"Q3_K", "Q4_0"}, {"Q4_K", "Q5_0"},
      {"Q5_K", "Q5_1"}, {"Q6_K", "Q8_0"}, {"IQ4_XS", "IQ4_NL"}};
  for (auto [wide, narrow] : kInstead)
    if (const GgmlType& n = *find_ggml_type(narrow); wide == type.name && k % n.block == 0)
      return n;
  return *find_ggml_type(std::string_view("F16"));
}

}  // namespace nibble
