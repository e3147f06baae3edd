// What config.json says of a decoder, in our words. One decoder runs every family; a family differs
// only in these fields and in its tensor names.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "kernels/float_ops.h"
#include "model/names.h"

namespace nibble {

struct RopeSpec {
  enum class Kind : uint8_t { kDefault, kLinear, kDynamic, kLlama3, kYarn, kLongrope };
  Kind kind = Kind::kDefault;
  int64_t dims = 0;          // the first so many of a head are rotated
  bool interleaved = false;  // pairs (2i, 2i + 1), not (i, i + dims / 2)
  double theta = 10000;
  double factor = 1;                                 // all but kDefault, kLongrope
  double low_freq_factor = 1, high_freq_factor = 4;  // kLlama3
  double beta_fast = 32, beta_slow = 1;              // kYarn
  bool truncate = true;                              // kYarn: its range is of whole dimensions
  double attention_factor = 1;                       // kYarn, kLongrope: on cos and sin
  // What the model was first trained on (kDynamic: may hold). kLongrope: sequences that stay within
  // take short_factors, longer ones long_factors, (dims / 2) each.
  int64_t original_context = 0;
  std::vector<float> short_factors, long_factors;
};

enum class NormKind : uint8_t { kRms, kRmsPlusOne, kLayer };  // x / rms w, x / rms (1 + w), Layer
// Of queries and keys: none, each head by one weight, each head by a weight of its own, all heads
// together.
enum class QkNorm : uint8_t { kNone, kHead, kEachHead, kRow };
// Rows of a query, key and value projection: three matrices; one of all queries, then keys, then
// values; one of a group for each key head: its queries, its key, its value.
enum class QkvOrder : uint8_t { kSeparate, kBlocks, kGrouped };
// A slope for each head times the key's position is added to scores (Press et al., arXiv
// 2108.12409). They differ where heads are no power of two; kFalcon rounds to bfloat16 and scales
// the sum.
enum class Alibi : uint8_t { kNone, kBloom, kFalcon, kMpt };

// Of one block.
struct LayerConfig {
  int64_t window = 0;          // keys a query sees, itself included; 0: all
  int rope = 0;                // which of the config's ropes; -1: none
  double attention_scale = 0;  // on scores
  int64_t experts = 0;         // 0: one MLP for all tokens
};

struct DecoderConfig {
  std::string model_type;
  Names names;
  int64_t hidden = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0;
  int64_t mlp = 0;  // width of the MLP
  int64_t vocab = 0;
  int64_t context = 0;  // max_position_embeddings
  std::vector<LayerConfig> blocks;

  NormKind norm = NormKind::kRms;
  bool norm_weight = true, norm_bias = false;
  double norm_eps = 1e-5;
  std::array<bool, kNormPlaces> norms = {true, false, false, true};  // those that there are
  QkNorm qk_norm = QkNorm::kNone;
  bool qk_norm_bias = false;
  bool final_norm = true, embedding_norm = false;
  // Attention and MLP both read the block's input. Without a norm of its own the MLP reads what
  // attention does.
  bool parallel = false;
  bool residual_is_normed = false;  // what enters attention and MLP is also what they add to

  std::vector<RopeSpec> ropes;
  Alibi alibi = Alibi::kNone;
  double alibi_factor = 1;       // kFalcon, on the bias
  int64_t position_offset = -1;  // learned positions: the first token's row; -1: none

  QkvOrder qkv = QkvOrder::kSeparate;
  bool qkv_bias = false, out_bias = false, mlp_bias = false, head_bias = false;
  bool conv1d = false;  // the blocks' matrices are stored (k, n)
  double clip_qkv = 0;  // queries, keys and values stay within; 0: as they come
  double score_softcap = 0, logit_softcap = 0;  // c tanh(x / c); 0: none

  Activation activation = Activation::kSilu;
  bool gated = true, fused_gate_up = false;
  int64_t experts_per_token = 0, expert_mlp = 0;
  bool normalized_experts = true;  // their weights sum to 1

  int64_t embedding_width = 0;  // hidden, or less with matrices to and from hidden
  double embedding_scale = 1, residual_scale = 1, logit_scale = 1;  // factors
  bool tied_head = false;
  std::vector<int32_t> eos;  // any of these ends the text
  int32_t bos = -1;          // -1 where config.json names none

  int64_t q_dim() const { return heads * head_dim; }
  int64_t kv_dim() const { return kv_heads * head_dim; }
  // Queries, keys and values of a token.
  int64_t qkv_dim() const { return q_dim() + 2 * kv_dim(); }
  int64_t mlp_of(int64_t layer) const {
    return blocks[static_cast<size_t>(layer)].experts > 0 ? expert_mlp : mlp;
  }
  bool has_experts() const {
    return std::ranges::any_of(blocks, [](const LayerConfig& l) { return l.experts > 0; });
  }
  bool has(NormPlace place) const { return norms[static_cast<size_t>(place)]; }
  void set(NormPlace place, bool there) { norms[static_cast<size_t>(place)] = there; }
  // States of the full width: before the blocks and behind each, the last one behind the final
  // norm; what project_out then narrows is none.
  int64_t hidden_states() const { return embedding_width == hidden ? layers + 1 : layers; }
  // Sequences of at most so many tokens rotate otherwise than longer ones; 0: all alike.
  int64_t short_context() const;
};

// Reads and checks config.json of a known family; every count is positive and within sane bounds,
// heads divide as they must. `what` names the file in errors.
Result<DecoderConfig> parse_config(const Json& config, const std::string& what);

}  // namespace nibble
