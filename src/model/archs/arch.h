// A family of models: how its config.json spells the decoder's fields, and what it calls its
// modules. One file a family here, one line in archs.inc.
#pragma once

#include <array>
#include <span>
#include <string>

#include "model/config_reader.h"

namespace nibble {

// Where config.json has what every family has, by one key or another, and what transformers' class
// of the family assumes where the file is silent.
struct ConfigKeys {
  std::array<const char*, 2> hidden = {"hidden_size", "n_embed"};
  std::array<const char*, 2> layers = {"num_hidden_layers", "n_layer"};
  std::array<const char*, 2> heads = {"num_attention_heads", "n_head"};
  // Nothing of a family in which no heads share keys, whatever its file says.
  std::array<const char*, 2> kv_heads = {"num_key_value_heads", "n_head_kv"};
  std::array<const char*, 2> mlp = {"intermediate_size", "n_inner"};
  std::array<const char*, 2> context = {"max_position_embeddings", "n_positions"};
  const char* norm_eps = "rms_norm_eps";
  const char* activation = "hidden_act";
  const char* usual_activation = "silu";
  int64_t usual_mlp = 0;       // times hidden; 0: the file must say
  int64_t usual_head_dim = 0;  // 0: hidden / heads
  int64_t usual_context = 2048;
  double usual_eps = 1e-6;
  bool rotary = true;
  double usual_theta = 10000;
  double usual_rotary_share = 1;  // of a head
  bool usually_tied = false;
};

struct Architecture {
  const char* model_type;  // config.json's "model_type"
  const char* summary;     // what the family is, for people
  ConfigKeys keys;
  // Sets what differs from Llama, and from what parse_config has read by the keys.
  Status (*configure)(const ConfigReader& r, DecoderConfig& out);
};

std::span<const Architecture* const> known_architectures();
// The known model_types, for messages: "llama, mistral, ...".
std::string known_architecture_names();

}  // namespace nibble
