// compressed-tensors: how a quantized linear's tensors are named and laid out, both ways, and the
// quantization_config that tells loaders so.
// Source: github.com/vllm-project/compressed-tensors 0.20; what its loader really takes is in
// docs/FORMATS.md.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "formats/checkpoint.h"
#include "formats/name_pattern.h"
#include "tensor/quantized.h"

namespace nibble {

// The tensors of one quantized linear under `module` ("model.layers.0.mlp.up_proj"):
// pack-quantized (weight_packed, weight_scale, weight_shape, weight_zero_point packed along dim 0)
// below 8 bits, int-quantized (weight int8, weight_scale, weight_zero_point int8) at 8, or there
// pack-quantized too with `pack`.
std::vector<NamedTensor> to_compressed_tensors(const std::string& module, const QuantizedMatrix& w,
                                               bool pack = false);

// How a config group stores weights: integers, or FP8 and FP4 values with scales of blocks.
struct CompressedWeights {
  std::optional<Scheme> scheme;  // of integers; scale_type is left for from_compressed_tensors
  bool rounds_inputs = false;    // the group has input_activations
  // Whether columns belong to groups in an order of their own, which MODULE.weight_g_idx says.
  bool reordered = false;
  // Of floats.
  int bits = 8;
  int64_t block_rows = 1, block_columns = 1;
};

// What quantization_config says of one module, or nothing for an unquantized one.
class CompressedTensorsConfig {
 public:
  // q: config.json's quantization_config, called `where` in errors. Refuses strategies that are not
  // tensor, channel, group or, for floats, block and tensor_group.
  static Result<CompressedTensorsConfig> parse(const Json& q, const std::string& where);
  // Of the config group whose target names the linear most closely (see name_pattern.h), none when
  // it is ignored.
  const CompressedWeights* weights_of(const std::string& module) const;
  // The same of integers alone.
  std::optional<Scheme> scheme_of(const std::string& module) const {
    const CompressedWeights* w = weights_of(module);
    return w ? w->scheme : std::nullopt;
  }
  // Whether the module's group has no input_activations and another has: its inputs stay floats
  // there. Where no group has any, nothing is said of inputs.
  bool keeps_float_inputs(const std::string& module) const;

 private:
  struct Group {
    std::vector<NamePattern> targets;
    CompressedWeights weights;
  };
  static Result<Group> parse_group(const Json& group, const Json& all, const std::string& what);
  std::vector<Group> groups_;
  std::vector<NamePattern> ignore_;
};

// The quantized matrix stored under `module` with shape (n, k): checks dtypes and every size
// against the scheme, scales finite and not zero, zero points in range. Groups are contiguous
// columns here, whatever weight_g_idx says.
Result<QuantizedMatrix> from_compressed_tensors(const Checkpoint& checkpoint,
                                                const std::string& module, Scheme scheme, int64_t n,
                                                int64_t k);

// What a config group says of the inputs of its linears: nothing, or that they are rounded to int8,
// symmetric, with a scale for each token or with MODULE.input_scale, F32 (1).
enum class StatedInputs : uint8_t { kNone, kToken, kStatic };

struct QuantizedModule {
  std::string module;
  Scheme scheme;
  StatedInputs inputs{};
};
// The quantization_config for these modules (all others that are linears go to "ignore"): one
// config group a scheme and kind of inputs, targets "Linear" when one scheme covers all, else "re:"
// patterns of the modules' own names; "format" named in every group; "dequantize": true for a
// single asymmetric scheme. `pack` as to_compressed_tensors's.
Json compressed_tensors_config(const std::vector<QuantizedModule>& quantized,
                               const std::vector<std::string>& ignored_linears, bool pack = false);

// Why transformers with compressed-tensors cannot load an artifact of these modules; empty if it
// can. `shapes` are (n, k) in the same order; `pack_bytes`: 8 bits lie in words as fewer do.
std::string why_only_nibble(const std::vector<QuantizedModule>& quantized,
                            const std::vector<std::pair<int64_t, int64_t>>& shapes,
                            bool pack_bytes = false);

}  // namespace nibble
