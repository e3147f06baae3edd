// A TFLite file, read.
#pragma once

#include <memory>
#include <unordered_map>

#include "base/file.h"
#include "export/onnx/file.h"
#include "export/tflite/model.h"

namespace nibble {

// Refused: a malformed file, buffers outside it, sizes that disagree with shapes.
class TfliteFile {
 public:
  static Result<TfliteFile> open(const std::string& path);

  struct Tensor {
    TfliteTensor shown;                // buffer: as in the file
    std::span<const std::byte> bytes;  // of a constant; else empty
  };
  struct Operation {
    int32_t code;  // BuiltinOperator, known to us or not
    std::vector<int32_t> inputs, outputs;
  };
  struct Subgraph {
    std::string name;
    std::vector<Tensor> tensors;
    std::vector<Operation> operations;
    std::vector<int32_t> inputs, outputs;
  };
  const std::vector<Subgraph>& subgraphs() const { return subgraphs_; }
  const std::string& path() const { return map_->path(); }
  // The constants of the first subgraph by name, as an ONNX file would hold them.
  OnnxFile weights() const;
  // One of these; an error where there is none.
  Result<const Tensor*> constant(const std::string& name) const;
  void release(const Tensor& tensor) const { map_->release(tensor.bytes); }

 private:
  Status read_buffers(const FlatView& model);
  Status read_subgraph(const FlatView& view, std::span<const int32_t> codes);
  Result<Tensor> read_tensor(const FlatView& view) const;
  std::shared_ptr<MappedFile> map_;
  std::vector<std::span<const std::byte>> buffers_;
  std::vector<Subgraph> subgraphs_;
  std::unordered_map<std::string, size_t> constants_;  // of the first subgraph: tensors by name
};

// What kind of value a tensor holds: "int8".
const char* type_name(TfliteType type);

}  // namespace nibble
