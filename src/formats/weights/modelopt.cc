// NVIDIA ModelOpt folders: FP8 (weight F8_E4M3, weight_scale for the tensor) and NVFP4 (weight U8
// of pairs of e2m1, weight_scale F8_E4M3 for each 16 columns, weight_scale_2 F32 for the tensor).
// Source: github.com/NVIDIA/Model-Optimizer, modelopt/torch/export/quant_utils.py,
// torch/quantization/qtensor/nvfp4_tensor.py.
#include "formats/weights/block_float_format.h"

namespace nibble {
namespace {

class ModelOpt : public BlockFloatFormat {
 public:
  bool holds(const Checkpoint& c, const std::string& module) const override {
    auto view = c.get(module + ".weight");
    return view && (view->dtype == DType::kU8 || view->dtype == DType::kF8E4M3);
  }
  std::string name_of(const Checkpoint& c, const std::string& module) const override {
    return pairs(c, module) ? "nvfp4" : "fp8";
  }

 protected:
  BlockFloats form_of(const Checkpoint& c, const std::string& module) const override {
    BlockFloats form;
    if (!pairs(c, module)) return form;
    form.columns = 16;
    form.global = ".weight_scale_2";
    return form;
  }

 private:
  static bool pairs(const Checkpoint& c, const std::string& module) {
    auto view = c.get(module + ".weight");
    return view && view->dtype == DType::kU8;
  }
};

}  // namespace

Result<std::unique_ptr<WeightFormat>> make_modelopt(const Json& q, const std::string& what) {
  // hf_quant_config.json has the fields one level down.
  auto inner = q.find("quantization");
  const Json& fields = inner != q.end() && inner->is_object() ? *inner : q;
  std::string kind = NB_TRY(get_string(fields, "quant_algo", {}, what));
  if (kind != "FP8" && kind != "NVFP4" && kind != "MIXED_PRECISION")
    return fail("{}: quant_algo {} is not read; FP8 and NVFP4 are", what, in_quotes(kind));
  return std::make_unique<ModelOpt>();
}

}  // namespace nibble
