// A TFLite subgraph as it is made from a graph of ONNX's operations: tensors for values, and the
// operators that put them together.
#pragma once

#include <unordered_map>

#include "export/tflite/model.h"

namespace nibble {

class TfliteBuilder {
 public:
  using Ints = std::vector<int64_t>;

  // Both are kept.
  TfliteBuilder(const OnnxGraph& graph, TfliteModel& model);

  const OnnxGraph& graph() const { return graph_; }
  TfliteSubgraph& subgraph() { return out_; }

  // Tensors by their place in the subgraph; -1 stands for a value without a name.
  // A value's, made at its first use if it is a constant or a weight.
  Result<int32_t> value(const OnnxValue& name);
  Result<std::vector<int32_t>> values(std::span<const OnnxValue> names);
  void set(const OnnxValue& name, int32_t tensor) { values_[name] = tensor; }
  int32_t tensor(const std::string& name, TfliteType type, Ints dims, size_t buffer = 0);
  int32_t integers(const Ints& values);  // int32 (values)
  int32_t integer(int64_t value);        // an int32 scalar
  int32_t real(float value);
  const Ints& dims(int32_t t) const { return out_.tensors[static_cast<size_t>(t)].dims; }
  TfliteType type(int32_t t) const { return out_.tensors[static_cast<size_t>(t)].type; }

  int32_t numbers(const std::string& name, std::span<const int32_t> values);  // int32 (values)
  const OnnxConstant& stored(const OnnxValue& name) const { return *constants_.at(name); }
  // Of a constant of int64.
  Ints constant(const OnnxValue& name) const;
  const OnnxWeight& weight(const OnnxValue& name) const { return *weights_.at(name); }
  // Whether nothing but the right side of products takes this value.
  bool only_right_of_products(const OnnxValue& name) const;
  // What products multiply by in place of a value: this tensor with its last two dimensions turned.
  std::unordered_map<OnnxValue, int32_t> turned;

  // Each one operator -> its output, of this type and shape.
  int32_t emit(const std::string& name, TfliteOp op, std::vector<int32_t> inputs, TfliteType type,
               Ints dims, uint8_t options_type = 0, FlatTable options = {});
  // Shapes are spread over each other.
  int32_t elementwise(const std::string& name, TfliteOp op, std::vector<int32_t> inputs);
  // Nothing where the shape is the same.
  int32_t reshape(const std::string& name, int32_t x, const Ints& dims);
  // kMean or kSum of the last dimension, which becomes 1.
  int32_t reduce_last(const std::string& name, TfliteOp op, int32_t x);

 private:
  const OnnxGraph& graph_;
  TfliteModel& model_;
  TfliteSubgraph out_;
  std::unordered_map<OnnxValue, int32_t> values_;
  std::unordered_map<OnnxValue, bool> only_right_;
  std::unordered_map<OnnxValue, const OnnxConstant*> constants_;
  std::unordered_map<OnnxValue, const OnnxWeight*> weights_;
};

// Of a tensor whose elements are of this type; int64 becomes int32. `what` has it, for errors.
Result<TfliteType> tflite_type(OnnxType type, const std::string& what);

}  // namespace nibble
