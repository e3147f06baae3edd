// What config.json says of a decoder, in our words. One decoder runs every family; a family differs
// only in these fields and in its tensor names.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace nibble {

struct RopeSpec {
  enum class Kind : uint8_t { kDefault, kLinear, kLlama3 };
  Kind kind = Kind::kDefault;
  double theta = 10000;
  double factor = 1;                                 // kLinear, kLlama3
  double low_freq_factor = 1, high_freq_factor = 4;  // kLlama3
  int64_t original_context = 8192;                   // kLlama3
};

struct DecoderConfig {
  std::string model_type;
  int64_t hidden = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0;
  int64_t mlp = 0;  // width of the gated MLP
  int64_t vocab = 0;
  int64_t context = 0;  // max_position_embeddings
  double norm_eps = 1e-5;
  RopeSpec rope;
  bool tied_head = false;
  bool qkv_bias = false, out_bias = false, mlp_bias = false;
  bool qk_norm = false;          // RMSNorm of each head's query and key before the rotation
  std::vector<int64_t> windows;  // per layer: keys a query sees, itself included; 0 = all
  std::vector<int32_t> eos;      // any of these ends the text
  int32_t bos = -1;              // -1 where config.json names none

  int64_t q_dim() const { return heads * head_dim; }
  int64_t kv_dim() const { return kv_heads * head_dim; }
};

// Reads and checks config.json of a known family; every count is positive and within sane bounds,
// heads divide as they must. `what` names the file in errors.
Result<DecoderConfig> parse_config(const Json& config, const std::string& what);

}  // namespace nibble
