#include "model/gguf/names.h"

namespace nibble {
namespace {

constexpr std::array<const char*, kRoles> kLinears = {"attn_q",   "attn_k",      "attn_v",
                                                      "attn_qkv", "attn_output", "ffn_gate",
                                                      "ffn_up",   "ffn_up",      "ffn_down"};
constexpr std::array<const char*, kNormPlaces> kNorms = {"attn_norm",   "post_attention_norm", "",
                                                         "ffn_norm",    "post_ffw_norm",       "",
                                                         "attn_q_norm", "attn_k_norm"};

}  // namespace

const char* gguf_linear_name(Role role) { return kLinears[static_cast<size_t>(role)]; }

const char* gguf_norm_name(NormPlace place, bool two_norms) {
  if (two_norms && place == NormPlace::kAttentionIn) return "attn_norm_2";
  if (two_norms && place == NormPlace::kMlpIn) return "attn_norm";
  return kNorms[static_cast<size_t>(place)];
}

RowOrder gguf_row_order(const DecoderConfig& c, bool pairs, Role role) {
  if (pairs && (role == Role::kQ || role == Role::kK))
    return {RowOrder::Kind::kPairs, c.head_dim, 0, 0};
  if (role == Role::kQkv && c.qkv == QkvOrder::kGrouped)
    return {RowOrder::Kind::kBlocks, c.head_dim, c.heads, c.kv_heads};
  return {};
}

}  // namespace nibble
