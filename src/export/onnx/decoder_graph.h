// The decoder as an ONNX graph with its cache as inputs and outputs.
#pragma once

#include "export/onnx/form.h"
#include "export/onnx/graph.h"

namespace nibble {

// Inputs, as optimum and ONNX Runtime GenAI name them: input_ids int64 (batch, sequence),
// attention_mask int64 (batch, past + sequence; 0: padding), position_ids int64 (batch, sequence)
// where the family has rotations or learned positions, past_key_values.L.key and .value float32
// (batch, kv_heads, past, head_dim). Outputs: logits float32 (batch, sequence, vocab),
// present.L.key and .value. The model is kept: its weights are read when the graph's are written.
Result<OnnxGraph> onnx_decoder(const Weights& model, OnnxFlavour flavour);

// Whether the graph takes position_ids.
bool onnx_takes_positions(const DecoderConfig& config);

}  // namespace nibble
