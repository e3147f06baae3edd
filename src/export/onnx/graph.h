// An ONNX graph as it is built: nodes in the order they run, small constants, and weights that are
// made when they are written. Source of field numbers and types: onnx/onnx, onnx/onnx.in.proto.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/file.h"

namespace nibble {

// TensorProto.DataType.
enum class OnnxType : uint8_t {
  kFloat = 1,
  kUint8 = 2,
  kInt8 = 3,
  kInt32 = 6,
  kInt64 = 7,
  kBool = 9,
  kFloat16 = 10,
  kBfloat16 = 16,
  kUint4 = 21,
  kInt4 = 22,
};
// Of `elements` in C order; two of the 4-bit types share a byte.
int64_t onnx_bytes(OnnxType type, int64_t elements);
// Of a tensor of any dimensions; none where one is negative or there are too many to count.
std::optional<int64_t> onnx_bytes(OnnxType type, std::span<const int64_t> dims);

// What its fields are called in a file: operators of com.microsoft stand beside those of ONNX.
inline constexpr int64_t kOnnxIrVersion = 10, kOnnxOpset = 21;

// Where a weight's bytes go, piece by piece. `owner` keeps a piece as it is for as long as the sink
// holds it; without one it is the sink's during the call alone.
using ByteSink =
    std::function<Status(std::span<const std::byte> piece, std::shared_ptr<const void> owner)>;
// To the end of the file, which must live as long.
ByteSink sink_of(AtomicFile& file);

// A weight that lies in model.onnx.data.
struct OnnxWeight {
  std::string name;
  OnnxType type = OnnxType::kFloat;
  std::vector<int64_t> dims;
  std::function<Status(const ByteSink&)> write;  // all of bytes()
  int64_t bytes() const;
};

struct OnnxAttribute {
  std::string name;
  std::variant<int64_t, float, std::string, std::vector<int64_t>> value;
};

// The name of what a node, an input or a constant gives.
using OnnxValue = std::string;
// A dimension by its size, or by a name where it varies.
using OnnxDim = std::variant<int64_t, std::string>;

struct OnnxOperation {
  std::string name, op;
  std::vector<OnnxValue> inputs, outputs;
  std::vector<OnnxAttribute> attributes;
};
struct OnnxConstant {
  OnnxValue name;
  OnnxType type;
  std::vector<int64_t> dims;
  std::string bytes;
};
// An input or an output of the model.
struct OnnxPort {
  OnnxValue name;
  OnnxType type;
  std::vector<OnnxDim> dims;
};

class OnnxGraph {
 public:
  OnnxValue input(const std::string& name, OnnxType type, std::vector<OnnxDim> dims);
  // An output of the model: what one node gives, under this name.
  OnnxValue output(const std::string& name, OnnxType type, std::vector<OnnxDim> dims,
                   const std::string& op, std::vector<OnnxValue> inputs,
                   std::vector<OnnxAttribute> attributes = {});
  // What follows is named SCOPE/...
  void scope(std::string name) { scope_ = std::move(name); }

  OnnxValue node(const std::string& op, std::vector<OnnxValue> inputs,
                 std::vector<OnnxAttribute> attributes = {});
  std::vector<OnnxValue> nodes(const std::string& op, std::vector<OnnxValue> inputs,
                               std::vector<OnnxAttribute> attributes, size_t outputs);

  // Constants inside model.onnx; equal ones are one.
  OnnxValue integers(std::span<const int64_t> values);
  OnnxValue integers(std::initializer_list<int64_t> values) {
    return integers(std::span(values.begin(), values.size()));
  }
  OnnxValue integer(int64_t value);  // a scalar
  OnnxValue real(double value);      // a float32 scalar
  OnnxValue reals(std::span<const float> values, std::vector<int64_t> dims);
  OnnxValue byte(OnnxType type, uint8_t bits);  // a uint8 or int8 scalar

  // A weight under its own name; the same name again is the same weight.
  OnnxValue weight(OnnxWeight weight);
  const std::vector<OnnxWeight>& weights() const { return weights_; }

  // What has been built: operations in the order they run.
  const std::vector<OnnxOperation>& operations() const { return operations_; }
  const std::vector<OnnxConstant>& constants() const { return constants_; }
  const std::vector<OnnxPort>& inputs() const { return inputs_; }
  const std::vector<OnnxPort>& outputs() const { return outputs_; }

  // The ModelProto. offsets: of each weight in the file `data`.
  std::string model(std::span<const int64_t> offsets, const std::string& data) const;

 private:
  OnnxValue constant(OnnxType type, std::span<const int64_t> dims, std::string_view bytes);
  std::string scope_;
  std::map<std::string, int64_t> numbers_;           // of nodes by scope and operator
  std::map<std::string, OnnxValue> constant_names_;  // by type, shape and bytes
  std::set<std::string> named_;
  std::vector<OnnxWeight> weights_;
  std::vector<OnnxOperation> operations_;
  std::vector<OnnxConstant> constants_;
  std::vector<OnnxPort> inputs_, outputs_;
};

}  // namespace nibble
