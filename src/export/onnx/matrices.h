// A model's matrices in an ONNX graph: the nodes that multiply by them, and what they are stored
// as.
#pragma once

#include "export/onnx/decoder_graph.h"

namespace nibble {

// What a module's weights are called; which of them there are depends on its form.
namespace onnx_names {
inline constexpr const char* kFloats = ".weight";       // (k, n); (n, k) of embedding and head
inline constexpr const char* kCodes = ".weight_codes";  // as the operator takes them
inline constexpr const char* kScales = ".weight_scale";
inline constexpr const char* kZeros = ".weight_zero_point";
inline constexpr const char* kRowCodes = ".row_codes";   // (n, k) uint8, of a quantized embedding
inline constexpr const char* kRowScales = ".row_scale";  // (n, groups)
inline constexpr const char* kRowZeros = ".row_zero_point";  // (n, groups)
inline constexpr const char* kBias = ".bias";
}  // namespace onnx_names

// A matrix as floats of this type, (n, k), or turned; read from the model when it is written.
OnnxWeight float_matrix(const Weights& model, const MatrixSpec& spec, DType type, bool turned);

class OnnxMatrices : public DecoderMatrices {
 public:
  // Both are kept; weights of the graph are read from the model when they are written.
  OnnxMatrices(const Weights& model, OnnxFlavour flavour, OnnxGraph& graph)
      : model_(model), flavour_(flavour), graph_(graph) {}

  Result<OnnxValue> linear(const LinearSpec& spec, const OnnxValue& x) override;
  Result<OnnxValue> head(const LinearSpec& spec, const OnnxValue& x) override;
  Result<OnnxValue> multiply(const MatrixSpec& spec, const OnnxValue& x) override;
  Result<OnnxValue> rows(const MatrixSpec& spec, const OnnxValue& ids) override;

 private:
  struct QuantizedInput {
    OnnxValue codes, scale, zero;
  };
  Result<OnnxValue> apply(const LinearSpec& spec, bool in_block, const OnnxValue& x);
  OnnxValue product(const ExportMatrix& m, const OnnxForm& form, const OnnxValue& x);
  Result<OnnxValue> add_bias(const LinearSpec& spec, const OnnxValue& y);
  OnnxValue blocks(const ExportMatrix& m, const OnnxForm& form, const OnnxValue& x);
  OnnxValue dequantized(const ExportMatrix& m, const OnnxForm& form);
  OnnxValue dynamic(const ExportMatrix& m, const OnnxForm& form, const OnnxValue& x);
  OnnxValue through_integers(const OnnxForm& form, const OnnxValue& x);
  OnnxValue quantized_rows(const ExportMatrix& m, const OnnxForm& form, const OnnxValue& ids);
  // A float matrix in its stored type (float32 in kF32) as (n, k), or turned.
  Result<OnnxValue> floats(const MatrixSpec& spec, bool turned);
  OnnxValue as_float(DType type, const OnnxValue& x);
  Result<DType> type_of(const MatrixSpec& spec) const;

  const Weights& model_;
  OnnxFlavour flavour_;
  OnnxGraph& graph_;
  std::map<OnnxValue, QuantizedInput> inputs_;  // by what was quantized, of kDynamic
  std::map<std::pair<OnnxValue, float>, OnnxValue> rounded_inputs_;  // by that and the scale
};

}  // namespace nibble
