// TensorRT's rules for quantized ONNX models.
#pragma once

#include "base/json.h"
#include "export/onnx/file.h"

namespace nibble {

// What of the model TensorRT refuses, a line for each: "NODE: reason". Empty: nothing that these
// rules know. Sources: docs.nvidia.com/deeplearning/tensorrt, "Working with Quantized Types";
// onnx/onnx-tensorrt, docs/operators.md.
std::vector<std::string> tensorrt_problems(const OnnxFile& file);

// For TensorRT's calibration: the largest magnitude of each tensor that the model quantizes,
// {"tensors": {NAME: {"amax": x}}}.
Result<Json> tensorrt_ranges(const OnnxFile& file);

}  // namespace nibble
