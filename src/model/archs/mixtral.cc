// Mixtral: Mistral with a mixture of experts in every layer.
#include "model/archs/arch.h"

namespace nibble {
namespace {

Status configure(const ConfigReader& r, DecoderConfig& out) {
  LayerConfig layer;
  layer.window = NB_TRY(r.window(0));
  layer.experts = NB_TRY(r.count("num_local_experts", 8));
  out.blocks.assign(out.blocks.size(), layer);
  out.experts_per_token = NB_TRY(r.count("num_experts_per_tok", 2));
  out.expert_mlp = out.mlp;
  out.names.router = "block_sparse_moe.gate";
  out.names.experts = "block_sparse_moe.experts";
  out.names.expert_gate = "w1";
  out.names.expert_up = "w3";
  out.names.expert_down = "w2";
  return {};
}

}  // namespace

extern const Architecture kArch_mixtral = {
    "mixtral", "Mixtral", {.usual_eps = 1e-5, .usual_theta = 1e6}, configure};

}  // namespace nibble
