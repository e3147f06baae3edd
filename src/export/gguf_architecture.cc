#include "export/gguf_architecture.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace nibble {
namespace {

Status refuse(const char* what) { return fail("llama.cpp's graph of the family has no {}", what); }

const LayerConfig* windowed(const DecoderConfig& c) {
  auto it = std::ranges::find_if(c.blocks, [](const LayerConfig& l) { return l.window > 0; });
  return it == c.blocks.end() ? nullptr : &*it;
}

// Whether exactly the layers for which `wanted` holds have a window.
template <class Wanted>
bool windows_are(const DecoderConfig& c, Wanted wanted) {
  for (size_t i = 0; i < c.blocks.size(); ++i)
    if ((c.blocks[i].window > 0) != wanted(i)) return false;
  return true;
}

bool scores_are_plain(const DecoderConfig& c) {
  double plain = 1 / std::sqrt(static_cast<double>(c.head_dim));
  return std::ranges::all_of(c.blocks, [&](const LayerConfig& l) {
    return std::abs(l.attention_scale - plain) < 1e-6 * plain;
  });
}

// Phi-3's loader tells Phi-4 by a window of 0.
void phi3(const DecoderConfig& c, GgufKeys& out) {
  const LayerConfig* l = windowed(c);
  out.number("attention.sliding_window", l ? l->window : 0);
}

void window(const DecoderConfig& c, GgufKeys& out) {
  if (const LayerConfig* l = windowed(c)) out.number("attention.sliding_window", l->window);
}

void experts(const DecoderConfig& c, GgufKeys& out) {
  out.number("expert_count", c.blocks[0].experts);
  out.number("expert_used_count", c.experts_per_token);
}

Status check_experts(const DecoderConfig& c) {
  int64_t count = c.blocks[0].experts;
  if (std::ranges::any_of(c.blocks, [&](const LayerConfig& l) { return l.experts != count; }))
    return refuse("blocks without experts between others");
  if (!c.normalized_experts) return refuse("experts whose weights do not sum to 1");
  return {};
}

void qwen3_moe(const DecoderConfig& c, GgufKeys& out) {
  experts(c, out);
  out.number("expert_feed_forward_length", c.expert_mlp);
}

void mixtral(const DecoderConfig& c, GgufKeys& out) {
  experts(c, out);
  window(c, out);
}

void softcaps(const DecoderConfig& c, GgufKeys& out) {
  if (c.score_softcap > 0) out.real("attn_logit_softcapping", c.score_softcap);
  if (c.logit_softcap > 0) out.real("final_logit_softcapping", c.logit_softcap);
  window(c, out);
}

Status check_gemma2(const DecoderConfig& c) {
  if (!windows_are(c, [](size_t i) { return i % 2 == 0; }))
    return refuse("windows but in every other layer, the first included");
  return {};
}

Status check_gemma3(const DecoderConfig& c) {
  if (windowed(c) && !windows_are(c, [](size_t i) { return (i + 1) % 6 != 0; }))
    return refuse("windows but in all layers that are no sixth");
  return {};
}

void gemma3(const DecoderConfig& c, GgufKeys& out) {
  softcaps(c, out);
  if (c.ropes.size() > 1) out.real("rope.freq_base_swa", c.ropes[1].theta);
}

Status check_smollm3(const DecoderConfig& c) {
  for (size_t i = 0; i < c.blocks.size(); ++i)
    if ((c.blocks[i].rope < 0) != ((i + 1) % 4 == 0))
      return refuse("layers without positions but every fourth");
  return {};
}

Status check_falcon(const DecoderConfig& c) {
  if (c.alibi != Alibi::kNone) return refuse("ALiBi");
  if (!c.parallel) return refuse("attention and MLP one after the other");
  return {};
}

Status check_bloom(const DecoderConfig& c) {
  if (c.residual_is_normed) return refuse("residual stream behind the norm");
  return {};
}

Status check_phi(const DecoderConfig& c) {
  if (c.qk_norm != QkNorm::kNone) return refuse("norms of queries and keys");
  return {};
}

void parallel(const DecoderConfig& c, GgufKeys& out) {
  out.flag("use_parallel_residual", c.parallel);
}

void mpt(const DecoderConfig& c, GgufKeys& out) {
  constexpr double kMostBias = 8;  // what the family's slopes are made for
  if (c.clip_qkv > 0) out.real("attention.clamp_kqv", c.clip_qkv);
  out.real("attention.max_alibi_bias", kMostBias);
}

void granite(const DecoderConfig& c, GgufKeys& out) {
  out.real("attention.scale", c.blocks[0].attention_scale);
  out.real("embedding_scale", c.embedding_scale);
  out.real("residual_scale", c.residual_scale);
  out.real("logit_scale", 1 / c.logit_scale);  // it divides
}

constexpr Activation kSilu = Activation::kSilu, kGelu = Activation::kGelu;
constexpr std::array kArchitectures = {
    GgufArchitecture{"llama", kSilu},
    GgufArchitecture{"mistral", kSilu, nullptr, window},
    GgufArchitecture{"mixtral", kSilu, check_experts, mixtral},
    GgufArchitecture{"smollm3", kSilu, check_smollm3},
    GgufArchitecture{"granite", kSilu, nullptr, granite},
    GgufArchitecture{"qwen2", kSilu},
    GgufArchitecture{"qwen3", kSilu},
    GgufArchitecture{"qwen3_moe", kSilu, check_experts, qwen3_moe},
    GgufArchitecture{"gemma", kGelu},
    GgufArchitecture{"gemma2", kGelu, check_gemma2, softcaps},
    GgufArchitecture{"gemma3_text", kGelu, check_gemma3, gemma3},
    GgufArchitecture{"phi", kGelu, check_phi},
    GgufArchitecture{"phi3", kSilu, nullptr, phi3},
    GgufArchitecture{"falcon", kGelu, check_falcon},
    GgufArchitecture{"bloom", kGelu, check_bloom},
    GgufArchitecture{"gpt2", kGelu},
    GgufArchitecture{"gpt_neox", kGelu, nullptr, parallel},
    GgufArchitecture{"mpt", kGelu, nullptr, mpt},
    GgufArchitecture{"stablelm", kSilu, nullptr, parallel},
    GgufArchitecture{"olmo2", kSilu},
    GgufArchitecture{"starcoder2", kGelu, nullptr, window},
};

Status check_rope(const RopeSpec& r) {
  if (r.kind == RopeSpec::Kind::kDynamic) return refuse("dynamic rope scaling");
  // It multiplies by 1 + .1 log(factor) by itself.
  if (r.kind == RopeSpec::Kind::kYarn &&
      std::abs(r.attention_factor - (1 + 0.1 * std::log(r.factor))) > 1e-4)
    return refuse("YaRN with an attention factor of its own");
  return {};
}

Status check_common(const DecoderConfig& c, const GgufArchitecture& a) {
  auto known = [](Activation x) { return x == Activation::kGeluTanh ? Activation::kGelu : x; };
  if (known(c.activation) != a.activation) return refuse("such activation");
  for (const RopeSpec& r : c.ropes) NB_OK(check_rope(r));
  if (c.embedding_width != c.hidden) return refuse("embedding narrower than the model");
  if (c.model_type != "granite" && !scores_are_plain(c))
    return refuse("attention scale but 1 / sqrt(head width)");
  return a.check ? a.check(c) : Status{};
}

void describe_rope(const RopeSpec& r, const DecoderConfig& c, GgufKeys& out) {
  out.number("rope.dimension_count", r.dims);
  out.real("rope.freq_base", r.theta);
  switch (r.kind) {
    case RopeSpec::Kind::kLinear:
      out.text("rope.scaling.type", "linear");
      out.real("rope.scaling.factor", r.factor);
      break;
    case RopeSpec::Kind::kYarn:
      out.text("rope.scaling.type", "yarn");
      out.real("rope.scaling.factor", r.factor);
      out.number("rope.scaling.original_context_length", r.original_context);
      out.real("rope.scaling.yarn_beta_fast", r.beta_fast);
      out.real("rope.scaling.yarn_beta_slow", r.beta_slow);
      break;
    case RopeSpec::Kind::kLongrope:
      out.text("rope.scaling.type", "longrope");
      out.real("rope.scaling.attn_factor", r.attention_factor);
      out.number("rope.scaling.original_context_length", r.original_context);
      break;
    default:
      // phi3's loader wants it in any case.
      if (c.model_type == "phi3") out.number("rope.scaling.original_context_length", c.context);
  }
}

}  // namespace

Result<const GgufArchitecture*> gguf_architecture(const DecoderConfig& c, const std::string& what) {
  for (const GgufArchitecture& a : kArchitectures) {
    if (c.model_type != a.model_type) continue;
    if (Status s = check_common(c, a); !s) return fail("{}: {}", what, s.error().message);
    return &a;
  }
  return fail("{}: llama.cpp has no {}", what, c.model_type);
}

void describe_gguf(const DecoderConfig& c, const GgufArchitecture& a, GgufMetadata& metadata) {
  GgufKeys out(metadata, a.family().architecture);
  out.number("block_count", c.layers);
  out.number("context_length", c.context);
  out.number("embedding_length", c.hidden);
  out.number("feed_forward_length", c.mlp > 0 ? c.mlp : c.expert_mlp);
  out.number("attention.head_count", c.heads);
  out.number("attention.head_count_kv", c.kv_heads);
  out.number("attention.key_length", c.head_dim);
  out.number("attention.value_length", c.head_dim);
  out.real(c.norm == NormKind::kLayer ? "attention.layer_norm_epsilon"
                                      : "attention.layer_norm_rms_epsilon",
           c.norm_eps);
  out.number("vocab_size", c.vocab);
  if (!c.ropes.empty()) describe_rope(c.ropes[0], c, out);
  if (a.describe) a.describe(c, out);
}

std::vector<std::string> gguf_traps(const DecoderConfig& c) {
  std::vector<std::string> out;
  constexpr std::array kWithout = {"llama", "mistral", "mixtral", "starcoder2"};
  bool without = std::ranges::find(kWithout, c.model_type) != kWithout.end();
  if (without && windowed(c))
    out.push_back(
        fmt::format("llama.cpp ignores the window of {} tokens in this family: longer "
                    "texts come out otherwise.",
                    windowed(c)->window));
  if (c.activation == Activation::kGelu)
    out.emplace_back("llama.cpp has GELU by tanh where the model has the exact one.");
  if (c.embedding_scale != 1 && c.norm == NormKind::kRmsPlusOne)
    out.emplace_back("llama.cpp scales embeddings in float32, transformers in the model's type.");
  return out;
}

std::vector<float> gguf_rope_factors(const RopeSpec& r) {
  if (r.kind != RopeSpec::Kind::kLlama3) return {};
  std::vector<float> out;
  auto context = static_cast<double>(r.original_context);
  for (int64_t i = 0; i < r.dims; i += 2) {
    double exponent = static_cast<double>(i) / static_cast<double>(r.dims);
    double turns = context / (2 * M_PI * std::pow(r.theta, exponent));  // within the old context
    double factor = 1;
    if (turns < r.low_freq_factor) {
      factor = r.factor;
    } else if (turns <= r.high_freq_factor) {
      double smooth = (turns - r.low_freq_factor) / (r.high_freq_factor - r.low_freq_factor);
      factor = 1 / ((1 - smooth) / r.factor + smooth);
    }
    out.push_back(static_cast<float>(factor));
  }
  return out;
}

}  // namespace nibble
