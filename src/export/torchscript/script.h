// A decoder's operations as TorchScript source.
#pragma once

#include "export/onnx/graph.h"

namespace nibble {

// code/__torch__.py: class Decoder(Module). Its tensors have the names of the graph's weights and
// of those constants that are no scalars; forward(input_ids, attention_mask[, position_ids], past)
// -> (logits, present), both caches as lists: key and value of each layer. Refused: an operation
// that has no line here. Source of the dialect: what torch.jit.save writes; pytorch/pytorch,
// torch/csrc/jit/serialization/import_source.cpp.
Result<std::string> torch_script(const OnnxGraph& graph);

// The constants that torch_script takes from the module.
std::vector<const OnnxConstant*> torch_constants(const OnnxGraph& graph);

}  // namespace nibble
