// How an ONNX flavour stores one matrix, and its integers row by row.
#pragma once

#include <optional>

#include "export/integer_layout.h"
#include "export/row_reader.h"

namespace nibble {

enum class OnnxFlavour : uint8_t {
  kF32,
  kNbits,
  kNbitsInt8,
  kDq,
  kInt8Dynamic,
  kInt8Qdq,
  kTensorRt
};

struct OnnxForm {
  enum class Kind : uint8_t {
    kFloats,       // MatMul
    kBlocks,       // com.microsoft's MatMulNBits, groups along k in powers of two
    kDequantized,  // DequantizeLinear, then MatMul
    kDynamic,      // MatMulInteger of inputs quantized as they come
    kStatic,       // MatMul of inputs through QuantizeLinear with a scale of their own
  };
  Kind kind = Kind::kFloats;
  IntegerLayout layout{};          // of all but kFloats
  bool exact = true;               // the source's integers and scales, or floats as they are
  float input_scale = 0;           // kStatic
  DType scale_type = DType::kF32;  // of scales that are made here
  bool one_scale = false;          // those are one for the whole matrix
  // Of rows: scales that are made here, and the scale of a row of zeros, are no smaller; empty:
  // any.
  std::vector<float> least_scales{};
};

// Refuses what the flavour cannot hold. m.in_block tells linears of blocks from embedding and head.
Result<OnnxForm> onnx_form(const Weights& model, OnnxFlavour flavour, const ExportMatrix& m);
// Of the embedding, whose rows are picked: a byte for each code, or floats.
Result<OnnxForm> onnx_row_form(const Weights& model, OnnxFlavour flavour, const ExportMatrix& m);

// The integers of a form that has some: as stored, or rounded to its symmetric layout.
class OnnxRows {
 public:
  static Result<OnnxRows> open(const Weights& model, const ExportMatrix& m, const OnnxForm& form);
  int64_t groups() const { return groups_; }
  // Any of the three may be null. codes: (k), unsigned; scales, zeros: (groups). From any thread.
  void row(int64_t r, uint8_t* codes, float* scales, uint8_t* zeros) const;
  // Exact codes as pack_bits has them, whole bytes alone.
  void packed_row(int64_t r, std::byte* out) const { exact_->packed_codes(r, out); }
  void release() const;

 private:
  Grid whole_grid(int64_t n) const;
  void rounded_row(int64_t r, uint8_t* codes, float* scales, uint8_t* zeros) const;
  void exact_scales(int64_t r, float* out) const;
  int64_t k_ = 0, groups_ = 1;
  Scheme rounded_;
  std::vector<float> least_;  // OnnxForm::least_scales
  std::optional<Grid> only_;  // of a form with one scale
  std::optional<IntegerRows> exact_;
  std::optional<RowReader> floats_;
};

}  // namespace nibble
