// What checkpoints of a family call their modules. A module's tensors are MODULE.weight and
// MODULE.bias.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace nibble {

// The linears of a block. A projection of queries, keys and values stored as one matrix is kQkv,
// gate and up stored as one kGateUp; an MLP without a gate has kUp and kDown.
enum class Role : uint8_t { kQ, kK, kV, kQkv, kO, kGate, kUp, kGateUp, kDown };
inline constexpr size_t kRoles = 9;

// Where a block may normalize: what enters attention and MLP, what leaves them before it is added
// to the residual stream, the stream behind that sum, and queries and keys.
enum class NormPlace : uint8_t {
  kAttentionIn,
  kAttentionOut,
  kAttentionAfter,
  kMlpIn,
  kMlpOut,
  kMlpAfter,
  kQuery,
  kKey
};
inline constexpr size_t kNormPlaces = 8;

// As Llama's; a family changes what it calls otherwise.
struct Names {
  // What the body's names begin with: the first of these under which a checkpoint has the
  // embedding. Bodies are also saved alone (""), and inside models that see and hear.
  std::vector<std::string> bases = {"model.", "", "language_model.model.", "model.language_model."};
  std::string base = "model.";  // the one found
  std::string embedding = "embed_tokens", layers = "layers", final_norm = "norm";
  std::string positions, embedding_norm, project_in, project_out;  // of those that have them
  std::string head = "lm_head";                                    // does not begin with base
  // Behind "BASE LAYERS.N.".
  std::array<std::string, kRoles> linears = {
      "self_attn.q_proj",   "self_attn.k_proj", "self_attn.v_proj",
      "self_attn.qkv_proj", "self_attn.o_proj", "mlp.gate_proj",
      "mlp.up_proj",        "mlp.gate_up_proj", "mlp.down_proj"};
  std::array<std::string, kNormPlaces> norms = {"input_layernorm",
                                                "post_attention_layernorm",
                                                "",
                                                "post_attention_layernorm",
                                                "post_feedforward_layernorm",
                                                "",
                                                "self_attn.q_norm",
                                                "self_attn.k_norm"};
  std::string router = "mlp.gate", experts = "mlp.experts";
  // Of an expert's kGate, kUp and kDown, behind "EXPERTS.E.".
  std::string expert_gate = "gate_proj", expert_up = "up_proj", expert_down = "down_proj";

  std::string& of(Role role) { return linears[static_cast<size_t>(role)]; }
  std::string& of(NormPlace place) { return norms[static_cast<size_t>(place)]; }
};

}  // namespace nibble
