// A model's matrices in a TFLite graph: fully connected operators, and rows picked by number.
#pragma once

#include "export/activation_ranges.h"
#include "export/onnx/matrices.h"
#include "export/tflite/form.h"

namespace nibble {

class TfliteMatrices : public DecoderMatrices {
 public:
  // All are kept; weights of the graph are read from the model when they are written. ranges: of
  // flavours with fixed ones; null, of a graph that nobody runs: any.
  TfliteMatrices(const Weights& model, TfliteFlavour flavour, const ActivationRanges* ranges,
                 OnnxGraph& graph);

  Result<OnnxValue> linear(const LinearSpec& spec, const OnnxValue& x) override;
  Result<OnnxValue> head(const LinearSpec& spec, const OnnxValue& x) override;
  Result<OnnxValue> multiply(const MatrixSpec& spec, const OnnxValue& x) override;
  Result<OnnxValue> rows(const MatrixSpec& spec, const OnnxValue& ids) override;

 private:
  Result<OnnxValue> apply(const LinearSpec& spec, bool in_block, const OnnxValue& x);
  OnnxValue floats(const MatrixSpec& spec);
  struct Grids {
    Grid input, output;  // unsigned integers of 8 bits over what the calibration saw
  };
  Result<Grids> grids(const std::string& module) const;
  // Fully connected of x rounded to its grid, in integers, and made float again.
  OnnxValue between_integers(const Grids& grids, const OnnxValue& x,
                             std::vector<OnnxValue> weights);
  OnnxValue zero_point(int zero);

  const Weights& model_;
  TfliteFlavour flavour_;
  const ActivationRanges* ranges_;
  OnnxGraph& graph_;
  std::map<std::pair<OnnxValue, float>, OnnxValue> rounded_;  // inputs, by themselves and the scale
  OnnxMatrices whole_, rows_;  // of rows picked from floats, and from integers
};

}  // namespace nibble
