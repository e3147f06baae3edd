// What a checkpoint says of the inputs of its linears.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "model/weights.h"

namespace nibble {
namespace {

// Other programs' folders may have one beside the scale.
Status check_input_zero(const Checkpoint& checkpoint, const std::string& name) {
  auto zero = checkpoint.get(name);
  if (zero && std::ranges::any_of(zero->bytes, [](std::byte b) { return b != std::byte{}; }))
    return fail("{}: {} is not 0, and static int8 inputs are symmetric here; take int8-token",
                checkpoint.folder(), name);
  return {};
}

}  // namespace

Result<InputRule> Weights::input_rule(const std::string& module, Activations mode) const {
  if (mode == Activations::kFloat || input_rules_.keeps_float(module) ||
      (formatted(module) && format_->keeps_float_inputs(checkpoint_, module)))
    return InputRule{};
  auto threshold = static_cast<float>(input_rules_.threshold);
  if (mode != Activations::kInt8Static) return InputRule{mode, 0, threshold};
  std::string name = module + kInputScale;
  if (!checkpoint_.has(name)) {
    if (module == head_module(config_) || module == embedding_module(config_)) return InputRule{};
    return fail(
        "{}: has no {}; for static activations quantize with --input-ranges, or give an export its "
        "--calibration",
        checkpoint_.folder(), name);
  }
  NB_OK(check_input_zero(checkpoint_, module + ".input_zero_point"));
  float scale = NB_TRY(vector({name, 1}))[0];
  if (!(scale > 0 && std::isfinite(scale)))
    return fail("{}: {} is {}, should be above 0", checkpoint_.folder(), name, scale);
  return InputRule{mode, scale, threshold};
}

Result<FloatColumns> Weights::outlier_columns(const std::string& module, int64_t n,
                                              int64_t k) const {
  FloatColumns out;
  std::string name = module + ".outlier_columns";
  if (!checkpoint_.has(name)) return out;
  TensorView view = NB_TRY(checkpoint_.get(name));
  if (view.dtype != DType::kI32 || view.shape.size() != 1)
    return fail("{}: tensor {} should be a list of I32", checkpoint_.folder(), name);
  for (int64_t i = 0; i < view.elements(); ++i) {
    int32_t j = 0;
    std::memcpy(&j, view.bytes.data() + i * 4, 4);
    if (j >= k || j <= (out.columns.empty() ? -1 : out.columns.back()))
      return fail("{}: tensor {} should ascend below {}", checkpoint_.folder(), name, k);
    out.columns.push_back(j);
  }
  auto count = static_cast<int64_t>(out.columns.size());
  TensorView w = NB_TRY(float_matrix(module + ".outlier_weight", n, count));
  out.w.resize(static_cast<size_t>(n * count));
  to_float(w.dtype, w.bytes.data(), n * count, out.w.data());
  return out;
}

}  // namespace nibble
