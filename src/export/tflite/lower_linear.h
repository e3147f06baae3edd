// The operations of linears, and what their integers mean.
#pragma once

#include "export/tflite/builder.h"

namespace nibble {

// kFullyConnectedOp (export/tflite/lower.h).
Status lower_fully_connected(TfliteBuilder& b, const OnnxOperation& op);
// QuantizeLinear and DequantizeLinear of values: x, scale, zero point, the latter two constants.
Status lower_quantize(TfliteBuilder& b, const OnnxOperation& op);
Status lower_dequantize(TfliteBuilder& b, const OnnxOperation& op);

}  // namespace nibble
