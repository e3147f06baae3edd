// FP8 folders: quant_method fp8 (DeepSeek, Qwen: blocks of 128 x 128 with weight_scale_inv, which
// multiplies all the same; or weight_scale of a tensor or of rows) and fbgemm_fp8 (of rows).
// Source: transformers 5, integrations/finegrained_fp8.py, integrations/fbgemm_fp8.py.
#include "formats/weights/block_float_format.h"

namespace nibble {
namespace {

bool is_f8_weight(const Checkpoint& c, const std::string& module) {
  auto view = c.get(module + ".weight");
  return view && is_f8(view->dtype);
}

class Fp8 : public BlockFloatFormat {
 public:
  Fp8(int64_t rows, int64_t columns) : rows_(rows), columns_(columns) {}
  bool holds(const Checkpoint& c, const std::string& module) const override {
    return is_f8_weight(c, module);
  }
  std::string name_of(const Checkpoint&, const std::string&) const override { return "fp8"; }

 protected:
  BlockFloats form_of(const Checkpoint& c, const std::string& module) const override {
    BlockFloats form;
    form.scales = c.has(module + ".weight_scale_inv") ? ".weight_scale_inv" : ".weight_scale";
    form.rows = rows_;
    form.columns = columns_;
    form.exponents = true;
    return form;
  }

 private:
  int64_t rows_, columns_;
};

}  // namespace

Result<std::unique_ptr<WeightFormat>> make_fp8(const Json& q, const std::string& what) {
  std::array<int64_t, 2> block = {128, 128};
  auto size = q.find("weight_block_size");
  if (size != q.end() && !size->is_null()) {
    bool two = size->is_array() && size->size() == 2;
    for (size_t i = 0; i < 2; ++i) {
      const Json* side = two ? &(*size)[i] : nullptr;
      if (!side || !side->is_number_integer() || side->get<int64_t>() < 1 ||
          side->get<int64_t>() > (1 << 24))
        return fail("{}: weight_block_size is {}, should be two sizes as [128, 128]", what,
                    in_quotes(size->dump()));
      block[i] = side->get<int64_t>();
    }
  }
  return std::make_unique<Fp8>(block[0], block[1]);
}

Result<std::unique_ptr<WeightFormat>> make_fbgemm_fp8(const Json&, const std::string&) {
  return std::make_unique<Fp8>(1, 1);
}

}  // namespace nibble
