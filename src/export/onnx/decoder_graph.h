// The decoder as an ONNX graph with its cache as inputs and outputs.
#pragma once

#include "export/onnx/form.h"
#include "export/onnx/frame.h"

namespace nibble {

// How a graph multiplies by a model's matrices.
class DecoderMatrices {
 public:
  virtual ~DecoderMatrices() = default;
  // x W' + bias of a block's linear. x: (..., k) -> (..., n).
  virtual Result<OnnxValue> linear(const LinearSpec& spec, const OnnxValue& x) = 0;
  // The same of the head, whose rows may be the embedding's.
  virtual Result<OnnxValue> head(const LinearSpec& spec, const OnnxValue& x) = 0;
  // x W' of a matrix that stays float.
  virtual Result<OnnxValue> multiply(const MatrixSpec& spec, const OnnxValue& x) = 0;
  // Rows of a matrix by their numbers `ids`: of the embedding or of learned positions.
  virtual Result<OnnxValue> rows(const MatrixSpec& spec, const OnnxValue& ids) = 0;
};

// Adds the decoder to the graph: operators of ONNX, of which the frame and the matrices may bring
// others.
Status build_decoder(const Weights& model, DecoderFrame& frame, DecoderMatrices& matrices,
                     OnnxGraph& graph);

// Inputs, as optimum and ONNX Runtime GenAI name them: input_ids int64 (batch, sequence),
// attention_mask int64 (batch, past + sequence; 0: padding), position_ids int64 (batch, sequence)
// where the family has rotations or learned positions, past_key_values.L.key and .value float32
// (batch, kv_heads, past, head_dim). Outputs: logits float32 (batch, sequence, vocab),
// present.L.key and .value. The model is kept: its weights are read when the graph's are written.
Result<OnnxGraph> onnx_decoder(const Weights& model, OnnxFlavour flavour);

// Whether the graph takes position_ids.
bool onnx_takes_positions(const DecoderConfig& config);

}  // namespace nibble
