// Changes to a model's float weights that leave its function as it is and make it easier to
// quantize. One file a transform here, one line in transforms.inc.
#pragma once

#include <array>
#include <span>
#include <string>
#include <vector>

#include "model/block.h"
#include "quant/methods/method.h"
#include "quant/statistics.h"

namespace nibble {

// The floats of one block and what calibration knows of its linears' inputs, while transforms work
// on them.
struct FloatBlock {
  std::vector<LinearSpec> specs;
  std::vector<FloatMatrix> matrices;       // of the specs
  std::vector<std::vector<float>> biases;  // empty where the linear has none
  std::vector<NormSpec> norm_specs;
  std::array<Norm, kNormPlaces> norms;  // as blocks run them
  DType norm_type = DType::kF32;        // what their weights are stored as
  // By stage; of experts' stages nothing is gathered here.
  std::vector<InputStatistics> inputs;

  // Where a linear stands in specs; of a role, that of no expert, which must be there.
  size_t index(const LinearSpec& spec) const;
  size_t index(Role role) const;
  FloatMatrix& matrix(const auto& linear) { return matrices[index(linear)]; }
  std::vector<float>& bias(const auto& linear) { return biases[index(linear)]; }
  InputStatistics& input(Stage s) { return inputs[static_cast<size_t>(s)]; }
  // The linears of a stage that are of no expert.
  std::vector<Role> roles(Stage stage) const;
  bool has_experts() const { return specs.back().expert >= 0; }
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
