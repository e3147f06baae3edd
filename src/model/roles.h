// What a tensor is for: the roles of a block's linears and the names that checkpoints give them.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "model/config.h"

namespace nibble {

enum class Role : uint8_t { kQ, kK, kV, kO, kGate, kUp, kDown };
inline constexpr size_t kRoles = 7;

// A block runs in stages. The linears of one stage read the same input, so they share its
// statistics and its int8 copy; stage by stage is also the order of true-sequential quantization.
enum class Stage : uint8_t { kQkv, kOut, kGateUp, kDown };
inline constexpr std::array kStages = {Stage::kQkv, Stage::kOut, Stage::kGateUp, Stage::kDown};

struct LinearSpec {
  Role role;
  Stage stage;
  std::string module;  // "model.layers.3.self_attn.q_proj"
  int64_t n, k;        // outputs, inputs
  bool bias;
};

// The linears of block `layer` in the order they run.
std::vector<LinearSpec> block_linears(const DecoderConfig& config, int64_t layer);

// A vector of floats (a norm's weight) and its name.
struct VectorSpec {
  std::string name;
  int64_t size = 0;
};
struct BlockNorms {
  VectorSpec attention, mlp, query, key;  // query and key are nameless without qk_norm
};
BlockNorms block_norms(const DecoderConfig& config, int64_t layer);

inline const std::string kEmbeddingModule = "model.embed_tokens";
inline const std::string kEmbeddingName = kEmbeddingModule + ".weight";
inline const std::string kFinalNormName = "model.norm.weight";
inline const std::string kHeadModule = "lm_head";

}  // namespace nibble
