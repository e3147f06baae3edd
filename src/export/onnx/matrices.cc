#include "export/onnx/matrices.h"

#include <cstring>

#include "export/onnx/integer_weights.h"
#include "export/onnx/weight_bytes.h"

namespace nibble {
namespace {

using namespace onnx_names;
using Ints = std::vector<int64_t>;

OnnxType onnx_type(DType type) {
  return type == DType::kF16    ? OnnxType::kFloat16
         : type == DType::kBF16 ? OnnxType::kBfloat16
                                : OnnxType::kFloat;
}

constexpr auto kFloat = static_cast<int64_t>(OnnxType::kFloat);

}  // namespace

OnnxWeight float_matrix(const Weights& model, const MatrixSpec& spec, DType type, bool turned) {
  int64_t n = spec.n, k = spec.k;
  auto write = [&model, spec, type, turned](const ByteSink& sink) -> Status {
    RowReader rows = NB_TRY(RowReader::open(model, spec.module, spec.n, spec.k));
    const TensorView* stored = rows.floats();
    if (stored && stored->dtype != type) stored = nullptr;
    auto fill = [&](int64_t r, std::byte* out) {
      if (stored) {
        int64_t size = spec.k * dtype_size(type);
        std::memcpy(out, stored->bytes.data() + r * size, static_cast<size_t>(size));
        return;
      }
      std::vector<float> values(static_cast<size_t>(spec.k));
      rows(r, values.data());
      from_float(type, values.data(), spec.k, out);
    };
    int64_t size = dtype_size(type);
    NB_OK(turned ? write_turned(spec.n, spec.k, size, false, fill, sink)
                 : write_rows(spec.n, spec.k * size, fill, sink));
    rows.release();
    return {};
  };
  return {spec.module + kFloats, onnx_type(type), turned ? Ints{k, n} : Ints{n, k}, write};
}

Result<DType> OnnxMatrices::type_of(const MatrixSpec& spec) const {
  if (flavour_ == OnnxFlavour::kF32) return DType::kF32;
  return model_.stored_type(spec.module);
}

OnnxValue OnnxMatrices::as_float(DType type, const OnnxValue& x) {
  return type == DType::kF32 ? x : graph_.node("Cast", {x}, {{"to", kFloat}});
}

Result<OnnxValue> OnnxMatrices::floats(const MatrixSpec& spec, bool turned) {
  DType type = NB_TRY(type_of(spec));
  return as_float(type, graph_.weight(float_matrix(model_, spec, type, turned)));
}

Result<OnnxValue> OnnxMatrices::add_bias(const LinearSpec& spec, const OnnxValue& y) {
  std::vector<float> bias = NB_TRY(model_.bias(spec));
  if (bias.empty()) return y;
  OnnxValue b = graph_.weight(float_weight(spec.module + kBias, {spec.n}, std::move(bias)));
  return graph_.node("Add", {y, b});
}

Result<OnnxValue> OnnxMatrices::apply(const LinearSpec& spec, bool in_block, const OnnxValue& x) {
  ExportMatrix m{spec.module, spec.n, spec.k, model_.scheme_of(spec.module), in_block};
  OnnxForm form = NB_TRY(onnx_form(model_, flavour_, m));
  if (form.kind != OnnxForm::Kind::kFloats) return add_bias(spec, product(m, form, x));
  MatrixSpec matrix{spec.module, spec.n, spec.k};
  if (!in_block) return add_bias(spec, NB_TRY(multiply(matrix, x)));
  OnnxValue w = NB_TRY(floats(matrix, /*turned=*/true));
  return add_bias(spec, graph_.node("MatMul", {x, w}));
}

Result<OnnxValue> OnnxMatrices::linear(const LinearSpec& spec, const OnnxValue& x) {
  return apply(spec, /*in_block=*/true, x);
}

Result<OnnxValue> OnnxMatrices::head(const LinearSpec& spec, const OnnxValue& x) {
  return apply(spec, /*in_block=*/false, x);
}

Result<OnnxValue> OnnxMatrices::multiply(const MatrixSpec& spec, const OnnxValue& x) {
  OnnxValue w = NB_TRY(floats(spec, /*turned=*/false));
  return graph_.node("MatMul", {x, graph_.node("Transpose", {w}, {{"perm", Ints{1, 0}}})});
}

OnnxValue OnnxMatrices::product(const ExportMatrix& m, const OnnxForm& form, const OnnxValue& x) {
  switch (form.kind) {
    case OnnxForm::Kind::kBlocks:
      return blocks(m, form, x);
    case OnnxForm::Kind::kDynamic:
      return dynamic(m, form, x);
    case OnnxForm::Kind::kStatic:
      return graph_.node("MatMul", {through_integers(form, x), dequantized(m, form)});
    default:
      return graph_.node("MatMul", {x, dequantized(m, form)});
  }
}

OnnxValue OnnxMatrices::blocks(const ExportMatrix& m, const OnnxForm& form, const OnnxValue& x) {
  IntegerWeights w{model_, m, form};
  std::vector<OnnxValue> inputs = {x, graph_.weight(w.block_codes()),
                                   graph_.weight(w.scales(m.module + kScales, false))};
  // Absent ones are 2^(bits - 1).
  if (!form.layout.symmetric) inputs.push_back(graph_.weight(w.block_zeros()));
  constexpr int64_t kFloatInputs = 1, kInt8Inputs = 4;
  return graph_.node(
      "MatMulNBits", inputs,
      {{"K", m.k},
       {"N", m.n},
       {"bits", int64_t{form.layout.bits}},
       {"block_size", form.layout.group},
       {"accuracy_level", flavour_ == OnnxFlavour::kNbitsInt8 ? kInt8Inputs : kFloatInputs}});
}

OnnxValue OnnxMatrices::dequantized(const ExportMatrix& m, const OnnxForm& form) {
  IntegerWeights w{model_, m, form};
  // Unsigned against static inputs too: int8 times int8 saturates on CPUs without VNNI.
  bool is_signed = form.layout.symmetric &&
                   (form.kind != OnnxForm::Kind::kStatic || flavour_ == OnnxFlavour::kTensorRt);
  bool four = form.layout.bits == 4;
  OnnxType type = is_signed ? (four ? OnnxType::kInt4 : OnnxType::kInt8)
                            : (four ? OnnxType::kUint4 : OnnxType::kUint8);
  std::vector<OnnxValue> inputs = {graph_.weight(w.turned_codes(type)),
                                   graph_.weight(w.scales(m.module + kScales, true))};
  if (!is_signed) inputs.push_back(graph_.weight(w.zeros(m.module + kZeros, true, type)));
  if (form.layout.group <= 0)
    return graph_.node("DequantizeLinear", inputs, {{"axis", int64_t{1}}});
  return graph_.node("DequantizeLinear", inputs,
                     {{"axis", int64_t{0}}, {"block_size", form.layout.group}});
}

// Unsigned inputs and unsigned weights: onnxruntime's products of unsigned by signed bytes saturate
// on CPUs without VNNI (microsoft/onnxruntime#6004).
OnnxValue OnnxMatrices::dynamic(const ExportMatrix& m, const OnnxForm& form, const OnnxValue& x) {
  auto [at, fresh] = inputs_.try_emplace(x);
  QuantizedInput& in = at->second;
  if (fresh) {
    std::vector<OnnxValue> parts = graph_.nodes("DynamicQuantizeLinear", {x}, {}, 3);
    in = {parts[0], parts[1], parts[2]};
  }
  IntegerWeights w{model_, m, form};
  OnnxValue zero = form.layout.symmetric
                       ? graph_.byte(OnnxType::kUint8, 1 << 7)
                       : graph_.weight(w.zeros(m.module + kZeros, true, OnnxType::kUint8));
  OnnxValue sums = graph_.node(
      "MatMulInteger", {in.codes, graph_.weight(w.turned_codes(OnnxType::kUint8)), in.zero, zero});
  OnnxValue scale =
      graph_.node("Mul", {in.scale, graph_.weight(w.scales(m.module + kScales, true))});
  return graph_.node("Mul", {graph_.node("Cast", {sums}, {{"to", kFloat}}), scale});
}

// x rounded to bytes of the form's scale, around 128 where they are unsigned.
OnnxValue OnnxMatrices::through_integers(const OnnxForm& form, const OnnxValue& x) {
  auto [at, fresh] = rounded_inputs_.try_emplace({x, form.input_scale});
  if (!fresh) return at->second;
  OnnxValue scale = graph_.real(form.input_scale);
  OnnxValue zero = flavour_ == OnnxFlavour::kTensorRt ? graph_.byte(OnnxType::kInt8, 0)
                                                      : graph_.byte(OnnxType::kUint8, 1 << 7);
  OnnxValue codes = graph_.node("QuantizeLinear", {x, scale, zero});
  return at->second = graph_.node("DequantizeLinear", {codes, scale, zero});
}

Result<OnnxValue> OnnxMatrices::rows(const MatrixSpec& spec, const OnnxValue& ids) {
  ExportMatrix m{spec.module, spec.n, spec.k, model_.scheme_of(spec.module), false};
  OnnxForm form = NB_TRY(onnx_row_form(model_, flavour_, m));
  if (form.kind != OnnxForm::Kind::kFloats) return quantized_rows(m, form, ids);
  DType type = NB_TRY(type_of(spec));
  OnnxValue table = graph_.weight(float_matrix(model_, spec, type, /*turned=*/false));
  return as_float(type, graph_.node("Gather", {table, ids}));
}

OnnxValue OnnxMatrices::quantized_rows(const ExportMatrix& m, const OnnxForm& form,
                                       const OnnxValue& ids) {
  IntegerWeights w{model_, m, form};
  auto picked = [&](OnnxWeight weight) {
    return graph_.node("Gather", {graph_.weight(std::move(weight)), ids});
  };
  auto floats = [&](const OnnxValue& bytes) {
    return graph_.node("Cast", {bytes}, {{"to", kFloat}});
  };
  // (..., groups, group), and for each group one number.
  OnnxValue grouped = graph_.integers({0, 0, w.groups(), m.k / w.groups()});
  OnnxValue last = graph_.integers({-1});
  auto of_groups = [&](const OnnxValue& v) { return graph_.node("Unsqueeze", {v, last}); };
  OnnxValue codes = floats(picked(w.row_codes(m.module + kRowCodes, OnnxType::kUint8)));
  codes = graph_.node("Reshape", {codes, grouped});
  OnnxValue zero =
      form.layout.symmetric
          ? graph_.real(1 << 7)
          : of_groups(floats(picked(w.zeros(m.module + kRowZeros, false, OnnxType::kUint8))));
  OnnxValue scale = of_groups(picked(w.scales(m.module + kRowScales, false)));
  OnnxValue values = graph_.node("Mul", {graph_.node("Sub", {codes, zero}), scale});
  return graph_.node("Reshape", {values, graph_.integers({0, 0, m.k})});
}

}  // namespace nibble
