// The archive that torch.jit.load reads: a zip file of a pickled module, its source and its data.
#pragma once

#include "export/onnx/graph.h"

namespace nibble {

// Streams the weights. Source: pytorch/pytorch, torch/csrc/jit/docs/serialization.md.
Status write_torchscript(const std::string& path, const OnnxGraph& graph);

}  // namespace nibble
