// model.onnx with its weights beside it in model.onnx.data, written and read.
// Source: onnx/onnx, docs/ExternalData.md.
#pragma once

#include <map>
#include <memory>

#include "base/file.h"
#include "export/onnx/graph.h"

namespace nibble {

// Streams the weights; a graph of more than 2 GB, protobuf's limit, cannot arise from them.
Status write_onnx(const std::string& folder, const OnnxGraph& graph);

struct OnnxTensor {
  OnnxType type = OnnxType::kFloat;
  std::vector<int64_t> dims;
  std::span<const std::byte> bytes;
  std::vector<float> floats() const;  // of kFloat
};

struct OnnxNode {
  std::string name, op, domain;
  std::vector<std::string> inputs, outputs;
};

// Weights, constants and nodes of such a folder. Refused: a malformed file, bytes beyond the data
// file's end, sizes that disagree with the shape.
class OnnxFile {
 public:
  static Result<OnnxFile> open(const std::string& folder);
  // Weights alone, from another container: their bytes lie in `data`. `what` names it in errors.
  static OnnxFile of_weights(std::string what, std::map<std::string, OnnxTensor> weights,
                             std::shared_ptr<MappedFile> data);
  // A weight or a constant; an error where there is none.
  Result<OnnxTensor> get(const std::string& name) const;
  bool has(const std::string& name) const { return tensors_.contains(name); }
  const std::vector<OnnxNode>& nodes() const { return nodes_; }
  // The model's inputs that have a dimension without a number.
  const std::vector<std::string>& dynamic_inputs() const { return dynamic_inputs_; }
  // Of all weights in the data file.
  int64_t weight_bytes() const { return weight_bytes_; }
  // Gives the pages of a weight in the data file back; a constant of model.onnx is left alone.
  void release(const OnnxTensor& tensor) const;

 private:
  Status read_graph(std::string_view bytes);
  Status read_node(std::string_view bytes);
  Status read_tensor(std::string_view bytes);
  Status read_input(std::string_view bytes);
  Result<std::span<const std::byte>> external(std::map<std::string, std::string> entries,
                                              const std::string& name) const;
  std::string path_;
  std::shared_ptr<const std::string> model_;  // constants lie in it
  std::shared_ptr<MappedFile> data_;
  std::map<std::string, OnnxTensor> tensors_;
  std::vector<OnnxNode> nodes_;
  std::vector<std::string> dynamic_inputs_;
  int64_t weight_bytes_ = 0;
};

}  // namespace nibble
