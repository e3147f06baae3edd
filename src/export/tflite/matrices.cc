#include "export/tflite/matrices.h"

#include <cmath>
#include <limits>

#include "export/onnx/integer_weights.h"
#include "export/onnx/weight_bytes.h"
#include "export/tflite/lower.h"
#include "export/tflite/lower_linear.h"

namespace nibble {

using namespace onnx_names;

namespace {

// Integers of 8 bits over the range. Unsigned; signed ones are 128 less.
Grid grid_of(const ActivationRange& range) {
  constexpr Scheme kByte{.bits = 8,
                         .symmetry = Symmetry::kAsymmetric,
                         .group = Scheme::kTensor,
                         .scale_type = DType::kF32};
  return grid_from_range(range.low, range.high, kByte);
}

// The scales of rows from which on each bias is at most kMostBiasSteps steps of both scales.
std::vector<float> scales_for(std::span<const float> bias, double input_scale) {
  std::vector<float> out;
  for (float b : bias) {
    auto least = static_cast<float>(std::abs(b) / (kMostBiasSteps * input_scale));
    out.push_back(std::nextafter(least, std::numeric_limits<float>::infinity()));
  }
  return out;
}

}  // namespace

TfliteMatrices::TfliteMatrices(const Weights& model, TfliteFlavour flavour,
                               const ActivationRanges* ranges, OnnxGraph& graph)
    : model_(model),
      flavour_(flavour),
      ranges_(ranges),
      graph_(graph),
      whole_(model, OnnxFlavour::kF32, graph),
      rows_(model, row_flavour(flavour), graph) {}

OnnxValue TfliteMatrices::floats(const MatrixSpec& spec) {
  return graph_.weight(float_matrix(model_, spec, DType::kF32, /*turned=*/false));
}

Result<OnnxValue> TfliteMatrices::apply(const LinearSpec& spec, bool in_block, const OnnxValue& x) {
  ExportMatrix m{spec.module, spec.n, spec.k, model_.scheme_of(spec.module), in_block};
  OnnxForm form = NB_TRY(tflite_form(model_, flavour_, m));
  std::vector<float> b = NB_TRY(model_.bias(spec));
  bool between = form.kind == OnnxForm::Kind::kStatic;
  Grids grids;
  if (between) {
    grids = NB_TRY(this->grids(m.module));
    form.least_scales = scales_for(b, grids.input.scale);
  }
  OnnxValue w, scales, bias;
  if (form.kind == OnnxForm::Kind::kFloats) {
    w = floats({spec.module, spec.n, spec.k});
  } else {
    IntegerWeights integers{model_, m, form};
    OnnxType stored = form.one_scale          ? OnnxType::kUint8
                      : form.layout.bits == 4 ? OnnxType::kInt4
                                              : OnnxType::kInt8;
    w = graph_.weight(integers.row_codes(m.module + kCodes, stored));
    OnnxType type = form.layout.group > 0 ? OnnxType::kFloat16 : OnnxType::kFloat;
    scales = graph_.weight(integers.scales(m.module + kScales, /*turned=*/false, type));
  }
  if (!b.empty()) bias = graph_.weight(float_weight(spec.module + kBias, {spec.n}, std::move(b)));
  if (between) return between_integers(grids, x, {w, scales, bias});
  return graph_.node(kFullyConnectedOp, {x, w, scales, bias});
}

OnnxValue TfliteMatrices::zero_point(int zero) {
  bool is_signed = flavour_ == TfliteFlavour::kInt8;
  return graph_.byte(is_signed ? OnnxType::kInt8 : OnnxType::kUint8,
                     static_cast<uint8_t>(is_signed ? zero - 128 : zero));
}

Result<TfliteMatrices::Grids> TfliteMatrices::grids(const std::string& module) const {
  if (!ranges_) return Grids{grid_of({-1, 1}), grid_of({-1, 1})};
  LinearRanges ranges = NB_TRY(range_of(model_, *ranges_, module));
  return Grids{grid_of(ranges.input), grid_of(ranges.output)};
}

OnnxValue TfliteMatrices::between_integers(const Grids& grids, const OnnxValue& x,
                                           std::vector<OnnxValue> weights) {
  const auto& [in, out] = grids;
  auto [at, fresh] = rounded_.try_emplace({x, in.scale});
  if (fresh)
    at->second = graph_.node("QuantizeLinear", {x, graph_.real(in.scale), zero_point(in.zero)});
  weights.insert(weights.begin(), at->second);
  OnnxValue scale = graph_.real(out.scale), zero = zero_point(out.zero);
  weights.insert(weights.end(), {scale, zero});
  OnnxValue codes = graph_.node(kFullyConnectedOp, std::move(weights));
  return graph_.node("DequantizeLinear", {codes, scale, zero});
}

Result<OnnxValue> TfliteMatrices::linear(const LinearSpec& spec, const OnnxValue& x) {
  return apply(spec, /*in_block=*/true, x);
}

Result<OnnxValue> TfliteMatrices::head(const LinearSpec& spec, const OnnxValue& x) {
  return apply(spec, /*in_block=*/false, x);
}

Result<OnnxValue> TfliteMatrices::multiply(const MatrixSpec& spec, const OnnxValue& x) {
  return graph_.node(kFullyConnectedOp, {x, floats(spec), "", ""});
}

Result<OnnxValue> TfliteMatrices::rows(const MatrixSpec& spec, const OnnxValue& ids) {
  // Floats are float32 here, whatever their type in the model.
  return (model_.scheme_of(spec.module) ? rows_ : whole_).rows(spec, ids);
}

}  // namespace nibble
