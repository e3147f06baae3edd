// The pieces of a decoder as ONNX operators that every graph has: norms, activations, rotation.
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

// cos and sin of a rotation of this step's tokens: (batch, sequence, 1, dims / 2).
struct OnnxRotation {
  OnnxValue cos, sin;
};
// x: (batch, sequence, heads, head_dim).
OnnxValue onnx_rotate(OnnxGraph& g, const RopeSpec& spec, const OnnxRotation& r, int64_t head_dim,
                      const OnnxValue& x);

OnnxValue onnx_cast(OnnxGraph& g, const OnnxValue& x, OnnxType type);
OnnxValue onnx_unsqueeze(OnnxGraph& g, const OnnxValue& x, std::initializer_list<int64_t> axes);

// Of the keys `seen` by causality, those within the window; all where it is 0. queries: int64 or
// int32 (sequence, 1), keys: (total), places.
OnnxValue onnx_in_window(OnnxGraph& g, const OnnxValue& seen, const OnnxValue& queries,
                         const OnnxValue& keys, int64_t window);

// What is added to scores, dims as `seen` has them: 0 for keys that a query sees, else the lowest
// float.
OnnxValue onnx_score_mask(OnnxGraph& g, const OnnxValue& seen);

}  // namespace nibble
