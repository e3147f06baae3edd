// How large a model is and would be: arithmetic on its config, no weights needed.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "model/weights.h"

namespace nibble {

// Whether the folder has weights at all.
Result<bool> has_weights(const std::string& folder);
// The config of a folder, or a GGUF file, whose weights need not be there; where they are, they
// must be sound.
Result<DecoderConfig> read_model_config(const std::string& folder);
// The same of a folder without weights: `config` is its config.json, at `path`.
Result<DecoderConfig> config_without_weights(const Json& config, const std::string& path);

struct RoleSize {
  std::string role;  // "embedding", "q", ..., "router", "head", "norms", "biases"
  std::string part;  // "embedding", "attention", "mlp", "experts", "norms", "head", "biases"
  int64_t parameters;
};

// Every role the model has. An error where config.json describes more parameters than any model.
Result<std::vector<RoleSize>> parameters_by_role(const DecoderConfig& config);

// Bytes of all weights with the blocks' linears in `scheme` (none: 2 bytes each) and the rest at
// `kept_width` bytes an element. The config has passed parameters_by_role.
int64_t bytes_at(const DecoderConfig& config, std::optional<Scheme> scheme, int64_t kept_width);

// Bytes of the KV cache of so many tokens; an error where that overflows.
Result<int64_t> kv_cache_bytes(const DecoderConfig& config, int64_t tokens,
                               KvType type = KvType::kF32);

// How many of the blocks' linears each scheme has in a folder, by its name; the float ones not.
std::vector<std::pair<std::string, int64_t>> quantized_linears(const Weights& weights);

}  // namespace nibble
