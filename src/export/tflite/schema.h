// Slots, types and operators of a TFLite file (schema version 3).
// Source: google-ai-edge/LiteRT, tflite/converter/schema/schema.fbs.
#pragma once

#include <cstdint>

namespace nibble {

inline constexpr const char* kTfliteIdentifier = "TFL3";
inline constexpr uint32_t kTfliteVersion = 3;

// TensorType.
enum class TfliteType : int8_t {
  kFloat32 = 0,
  kFloat16 = 1,
  kInt32 = 2,
  kUint8 = 3,
  kInt64 = 4,
  kBool = 6,
  kInt8 = 9,
  kInt4 = 17,
};

// BuiltinOperator: those that we write.
enum class TfliteOp : int32_t {
  kAdd = 0,
  kConcatenation = 2,
  kDequantize = 6,
  kFullyConnected = 9,
  kLogistic = 14,
  kMul = 18,
  kRelu = 19,
  kReshape = 22,
  kSoftmax = 25,
  kTanh = 28,
  kGather = 36,
  kTranspose = 39,
  kMean = 40,
  kSub = 41,
  kDiv = 42,
  kTopkV2 = 48,
  kCast = 53,
  kMaximum = 55,
  kMinimum = 57,
  kGreater = 61,
  kLessEqual = 63,
  kSlice = 65,
  kSum = 74,
  kSqrt = 75,
  kRsqrt = 76,
  kLogicalAnd = 86,
  kQuantize = 114,
  kSelectV2 = 123,
  kBatchMatmul = 126,
  kGelu = 150,
  kDynamicUpdateSlice = 151,
};

namespace tflite {

enum Model { kVersion, kOperatorCodes, kSubgraphs, kDescription, kBuffers, kSignatures = 7 };
enum OperatorCode { kShortCode, kCustomCode, kCodeVersion, kCode };
enum Subgraph { kTensors, kInputs, kOutputs, kOperators, kSubgraphName };
enum Tensor { kShape, kType, kBuffer, kTensorName, kQuantization };
enum Quantization { kScale = 2, kZeroPoint, kDetailsType, kDetails, kDimension };
enum Blockwise { kBlockScales, kBlockZeros, kBlockSize };
enum Operator { kOpcode, kOpInputs, kOpOutputs, kOptionsType, kOptions };
enum Buffer { kData, kOffset, kSize };
enum Signature { kSignatureInputs, kSignatureOutputs, kKey, kSubgraphIndex = 4 };
enum TensorMap { kMapName, kMapTensor };

inline constexpr uint8_t kBlockwiseDetails = 2;  // QuantizationDetails

// BuiltinOptions and the slots of their tables.
namespace options {
inline constexpr uint8_t kFullyConnected = 8, kSoftmax = 9, kConcatenation = 10, kGather = 23,
                         kReducer = 27, kBatchMatmul = 101, kGelu = 116;
inline constexpr int kKeepNumDims = 2, kAsymmetricInputs = 3;  // of kFullyConnected
inline constexpr int kBeta = 0, kAxis = 0, kKeepDims = 0, kAdjointY = 1, kApproximate = 0;
}  // namespace options

}  // namespace tflite
}  // namespace nibble
