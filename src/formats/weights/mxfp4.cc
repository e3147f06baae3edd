// MXFP4 as gpt-oss stores it: MODULE_blocks U8 (n, k / 32, 16), pairs of e2m1 with the low nibble
// first, and MODULE_scales U8 (n, k / 32), E8M0. Linears of two dimensions are read.
// Source: transformers 5, integrations/mxfp4.py.
#include "formats/weights/block_float_format.h"

namespace nibble {
namespace {

constexpr std::string_view kBlocks = "_blocks", kScales = "_scales";

class Mxfp4 : public BlockFloatFormat {
 public:
  bool holds(const Checkpoint& c, const std::string& module) const override {
    return c.has(module + std::string(kBlocks));
  }
  std::string name_of(const Checkpoint&, const std::string&) const override { return "mxfp4"; }
  std::string_view module_of(std::string_view tensor) const override {
    for (std::string_view part : {kBlocks, kScales})
      if (tensor.ends_with(part)) return tensor.substr(0, tensor.size() - part.size());
    return WeightFormat::module_of(tensor);
  }

 protected:
  BlockFloats form_of(const Checkpoint&, const std::string&) const override {
    BlockFloats form{.codes = kBlocks.data(), .scales = kScales.data()};
    form.columns = 32;
    form.exponents = true;
    return form;
  }
};

}  // namespace

Result<std::unique_ptr<WeightFormat>> make_mxfp4(const Json&, const std::string&) {
  return std::make_unique<Mxfp4>();
}

}  // namespace nibble
