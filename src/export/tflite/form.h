// How a TFLite flavour stores one matrix.
#pragma once

#include "export/onnx/form.h"

namespace nibble {

// kDynamic: int8, a scale a row. kInt4: the same in 4 bits. kInt4Blocks: 4 bits, float16 scales of
// blocks of whole multiples of 32 columns. The operators of these round their inputs as they come.
// kInt8: as kDynamic, between int8 of fixed ranges. kUint8: the same in uint8, one scale a matrix.
enum class TfliteFlavour : uint8_t { kF32, kDynamic, kInt4, kInt4Blocks, kInt8, kUint8 };
// Those whose linears of blocks take and give integers of fixed ranges.
inline bool has_fixed_ranges(TfliteFlavour flavour) {
  return flavour == TfliteFlavour::kInt8 || flavour == TfliteFlavour::kUint8;
}

// kFloats; kDequantized, or kStatic between fixed ranges, with symmetric integers. Refuses what the
// flavour cannot hold.
Result<OnnxForm> tflite_form(const Weights& model, TfliteFlavour flavour, const ExportMatrix& m);
// The flavour of ONNX that stores the embedding, whose rows are picked, in the same way.
inline OnnxFlavour row_flavour(TfliteFlavour flavour) {
  return flavour == TfliteFlavour::kF32 ? OnnxFlavour::kF32 : OnnxFlavour::kDq;
}

}  // namespace nibble
