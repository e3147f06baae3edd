// Field numbers of the messages of an ONNX file that we write and read.
// Source: onnx/onnx, onnx/onnx.in.proto.
#pragma once

#include <cstdint>

namespace nibble::onnx_fields {

enum Model : int64_t {
  kIrVersion = 1,
  kProducer = 2,
  kProducerVersion = 3,
  kGraph = 7,
  kOpset = 8
};
enum Graph : int64_t { kNode = 1, kName = 2, kInitializer = 5, kInput = 11, kOutput = 12 };
enum Node : int64_t { kNodeInput = 1, kNodeOutput, kNodeName, kOpType, kAttribute, kDomain = 7 };
enum Attribute : int64_t { kAttributeName = 1, kF, kI, kS, kInts = 8, kAttributeType = 20 };
enum Tensor : int64_t {
  kDims = 1,
  kDataType = 2,
  kTensorName = 8,
  kRawData = 9,
  kExternal = 13,
  kLocation = 14
};
enum Entry : int64_t { kKey = 1, kValue };  // StringStringEntryProto

}  // namespace nibble::onnx_fields
