// The pieces of a decoder as ONNX operators: norms, activations, rotation, masks, biases.
#pragma once

#include "export/onnx/graph.h"
#include "model/norm.h"
#include "model/roles.h"

namespace nibble {

// What `norm` does to the last dimension of x. With parts of parameters (QkNorm::kEachHead) the
// last two dimensions are (parts, size).
OnnxValue onnx_norm(OnnxGraph& g, const DecoderConfig& c, const NormSpec& spec, const Norm& norm,
                    const OnnxValue& x);

OnnxValue onnx_activation(OnnxGraph& g, Activation f, const OnnxValue& x);

// c tanh(x / c).
OnnxValue onnx_softcap(OnnxGraph& g, double c, const OnnxValue& x);

// What of a step's positions all blocks share.
struct OnnxPositions {
  OnnxValue total;          // int64 (1): tokens with those of the cache
  OnnxValue causal;         // bool (sequence, total): keys that are no later than the query
  OnnxValue valid;          // bool (batch, 1, total): keys that are no padding
  OnnxValue queries, keys;  // int64 (sequence, 1) and (total): places in the cache
  OnnxValue mask;           // int64 (batch, total): the model's input
};
OnnxPositions onnx_positions(OnnxGraph& g, const OnnxValue& ids, const OnnxValue& mask);

// Added to scores (batch, kv_heads, shared, sequence, total): 0 for keys that a query sees, else
// the lowest float. window: as LayerConfig's.
OnnxValue onnx_mask(OnnxGraph& g, const OnnxPositions& p, int64_t window);
// ALiBi's bias, (batch, kv_heads, shared, 1, total).
OnnxValue onnx_alibi(OnnxGraph& g, const DecoderConfig& c, const OnnxPositions& p);

// A rotation of this step's tokens: (batch, sequence, 1, dims / 2).
struct OnnxRotation {
  OnnxValue cos, sin;
};
OnnxRotation onnx_rotation(OnnxGraph& g, const RopeSpec& spec, const OnnxPositions& p,
                           const OnnxValue& position_ids);
// x: (batch, sequence, heads, head_dim).
OnnxValue onnx_rotate(OnnxGraph& g, const RopeSpec& spec, const OnnxRotation& r, int64_t head_dim,
                      const OnnxValue& x);

}  // namespace nibble
