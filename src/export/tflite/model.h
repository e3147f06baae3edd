// A TFLite model as it is built: subgraphs that share buffers, and the file it becomes.
#pragma once

#include <map>

#include "base/flatbuffer.h"
#include "export/onnx/graph.h"
#include "export/tflite/schema.h"

namespace nibble {

// What a tensor's integers mean: value = (q - zero) * scale; none: no integers.
struct TfliteGrid {
  std::vector<float> scales;  // one, or one for each index of the first dimension
  std::vector<int64_t> zeros;
  // Instead: int4 in blocks of so many columns; their scales (rows, blocks) are a float16 tensor.
  int64_t block = 0;
  int block_scales = -1;
};

struct TfliteTensor {
  std::string name;
  TfliteType type = TfliteType::kFloat32;
  std::vector<int64_t> dims;
  size_t buffer = 0;  // 0: made by an operator or given
  TfliteGrid grid;
};

struct TfliteOperation {
  TfliteOp op;
  std::vector<int32_t> inputs, outputs;  // tensors; -1: an optional one that is absent
  uint8_t options_type = 0;
  FlatTable options;
};

// Its signature has the name of the subgraph.
struct TfliteSubgraph {
  std::string name;
  std::vector<TfliteTensor> tensors;
  std::vector<TfliteOperation> operations;
  std::vector<std::pair<std::string, int32_t>> inputs, outputs;  // names in the signature
};

class TfliteModel {
 public:
  std::vector<TfliteSubgraph> subgraphs;

  // Buffers; equal constants are one, and so are weights of one name.
  size_t constant(const std::string& bytes);
  size_t weight(const OnnxWeight& weight);

  // Streams the weights. They lie inside the flatbuffer up to its limit of 2 GB, beyond it behind.
  Status write(const std::string& path) const;

 private:
  FlatTable table(std::span<const int64_t> behind) const;
  std::vector<OnnxWeight> buffers_;  // but the empty first
  std::map<std::string, size_t> constants_, weights_;
};

}  // namespace nibble
