// Qwen 3 with a mixture of experts in every layer, or in those that config.json leaves.
#include <algorithm>

#include "model/archs/arch.h"

namespace nibble {
namespace {

Status configure(const ConfigReader& r, DecoderConfig& out) {
  out.qk_norm = QkNorm::kHead;
  out.qkv_bias = out.out_bias = NB_TRY(r.flag("attention_bias", false));
  int64_t window = NB_TRY(r.flag("use_sliding_window", false)) ? NB_TRY(r.window(4096)) : 0;
  constexpr std::array kExperts = {"num_experts", "num_local_experts"};
  int64_t experts = NB_TRY(r.count(r.first(kExperts), 128));
  out.experts_per_token = NB_TRY(r.count("num_experts_per_tok", 8));
  out.expert_mlp = NB_TRY(r.count("moe_intermediate_size", 768));
  out.normalized_experts = NB_TRY(r.flag("norm_topk_prob", false));
  int64_t step = NB_TRY(r.count("decoder_sparse_step", 1));
  std::vector<double> dense;
  if (r.has("mlp_only_layers")) dense = NB_TRY(r.numbers("mlp_only_layers"));
  for (int64_t i = 0; i < out.layers; ++i) {
    LayerConfig& layer = out.blocks[static_cast<size_t>(i)];
    layer.window = window;
    bool listed = std::find(dense.begin(), dense.end(), static_cast<double>(i)) != dense.end();
    if (!listed && (i + 1) % step == 0) layer.experts = experts;
  }
  return {};
}

}  // namespace

extern const Architecture kArch_qwen3_moe = {
    "qwen3_moe", "Qwen 3 (mixture of experts)", {}, configure};

}  // namespace nibble
