// What an artifact says of how the inputs of its linears are to be quantized, where its user asks
// for integer arithmetic at all: nibble.json's "int8_threshold" and "float_inputs", and the
// input_scale tensors of compressed-tensors.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "kernels/kernels.h"

namespace nibble {

// MODULE.input_scale: F32 (1), what code 1 of a static int8 input stands for.
inline constexpr const char* kInputScale = ".input_scale";

// Of one linear.
struct InputRule {
  Activations mode = Activations::kFloat;
  float scale = 0;      // kInt8Static's
  float threshold = 0;  // columns that reach it stay float (LLM.int8()); 0: none
  bool operator==(const InputRule&) const = default;
};

// Of a whole artifact.
struct InputRules {
  double threshold = 0;                   // InputRule::threshold
  std::vector<std::string> float_inputs;  // modules ending in one of these keep float inputs

  // Of the folder's nibble.json; none where there is no such file.
  static Result<InputRules> read(const std::string& folder);
  bool keeps_float(const std::string& module) const;
  Json to_json() const;  // the keys that differ from their defaults
};

// Letters, digits, dots, dashes, underscores: safe in messages and in file names.
bool is_module_name(const std::string& text);
// The end of a module's name, at one of its dots: "down_proj", "mlp.down_proj".
bool module_ends_with(const std::string& module, const std::string& ending);

}  // namespace nibble
