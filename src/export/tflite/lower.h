// A decoder's graph of fixed shapes as TFLite's operators.
#pragma once

#include "export/tflite/model.h"

namespace nibble {

// Operations beside ONNX's that such a graph may hold.
// FullyConnected: x (..., k), weight (n, k), scales (n, groups), bias (n) -> (..., n); integers of
// the weight are symmetric, "" stands for what is absent. Of an x of integers (n, 1) scales, and
// two inputs more: scale and zero point of what it gives.
inline constexpr const char* kFullyConnectedOp = "FullyConnected";
// DynamicUpdateSlice: x, rows, start (int32, one for each dimension) -> x with rows put there.
inline constexpr const char* kUpdateSliceOp = "DynamicUpdateSlice";
// An output named NAME.next is NAME in the signature: what an input of that name is to be then.
inline constexpr const char* kNext = ".next";

// Adds the graph to the model as the subgraph and signature `name`. Its int64 become int32. The
// weights' scales are read. Refused: an operation or a type that has no line here.
Status add_tflite_subgraph(const OnnxGraph& graph, const std::string& name, TfliteModel& model);

}  // namespace nibble
