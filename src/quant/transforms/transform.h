// Changes to a model's float weights that leave its function as it is and make it easier to
// quantize. One file a transform here, one line in transforms.inc.
#pragma once

#include <array>
#include <span>
#include <string>
#include <vector>

#include "model/weights.h"
#include "quant/methods/method.h"
#include "quant/statistics.h"

namespace nibble {

// The floats of one block and what calibration knows of its linears' inputs, while transforms work
// on them.
struct FloatBlock {
  std::vector<LinearSpec> specs;  // all seven, in the order of their roles
  std::vector<FloatMatrix> matrices;
  std::vector<std::vector<float>> biases;  // empty where the linear has none
  BlockNorms norm_names;
  std::vector<float> attention_norm, mlp_norm;
  DType norm_type = DType::kF32;        // what the norms are stored as
  std::vector<InputStatistics> inputs;  // by stage

  FloatMatrix& matrix(Role r) { return matrices[static_cast<size_t>(r)]; }
  std::vector<float>& bias(Role r) { return biases[static_cast<size_t>(r)]; }
  InputStatistics& input(Stage s) { return inputs[static_cast<size_t>(s)]; }
};

struct TransformOptions {
  double alpha = .8;  // SmoothQuant's migration strength; 0: searched for each norm
  uint32_t seed = 0;  // of the rotations' signs
};

// One of the three functions is set; it says when the transform works.
struct Transform {
  const char* name;
  const char* summary;
  InputStatistics::Need need;
  // On the whole model, before the pass over blocks: writes the changed model as floats into an
  // empty folder.
  Status (*model)(const Weights& source, const std::string& folder, const TransformOptions& options,
                  std::vector<std::string>& notes) = nullptr;
  // On a block, before its linears are quantized.
  Status (*block)(const DecoderConfig& config, FloatBlock& block,
                  const TransformOptions& options) = nullptr;
  // On the bias, (n), of a linear that has one, after its weights are quantized.
  void (*bias)(const FloatMatrix& w, const QuantizedMatrix& q, const InputStatistics& input,
               std::vector<float>& bias) = nullptr;
};

std::span<const Transform> known_transforms();
// By names, each known and at most once, in their order; whole-model ones must come first.
Result<std::vector<const Transform*>> find_transforms(const std::vector<std::string>& names);

}  // namespace nibble
