// The operations of linears, and what their integers mean.
#pragma once

#include "export/tflite/builder.h"

namespace nibble {

// Integer biases have at most so many steps: room for the sum that they are added to, in 32 bits.
inline constexpr double kMostBiasSteps = 1 << 30;

// kFullyConnectedOp (export/tflite/lower.h). Refuses an integer bias of more steps.
Status lower_fully_connected(TfliteBuilder& b, const OnnxOperation& op);
// QuantizeLinear and DequantizeLinear of values: x, scale, zero point, the latter two constants.
Status lower_quantize(TfliteBuilder& b, const OnnxOperation& op);
Status lower_dequantize(TfliteBuilder& b, const OnnxOperation& op);

}  // namespace nibble
