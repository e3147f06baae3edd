// The integers, scales and zero points of a form as ONNX weights.
#pragma once

#include "export/onnx/form.h"
#include "export/onnx/graph.h"

namespace nibble {

// One matrix's weights, made from the model when they are written.
struct IntegerWeights {
  const Weights& model;
  ExportMatrix m;
  OnnxForm form;

  int64_t groups() const { return form.layout.groups(m.k); }
  // MatMulNBits' B: (n, groups, group * bits / 8), the low bits first.
  OnnxWeight block_codes() const;
  // Its zero points: (n, ceil(groups * bits / 8)), a row's packed likewise.
  OnnxWeight block_zeros() const;
  // (k, n) as a type of 4 or 8 bits. Signed ones hold code - 2^(bits - 1).
  OnnxWeight turned_codes(OnnxType type) const;
  // (n, k) as a type of 4 or 8 bits; k is even where two share a byte. Signed ones as above.
  OnnxWeight row_codes(const std::string& name, OnnxType type) const;
  // (n, groups), or (groups, n), or (n) where there is one group; kFloat or kFloat16.
  OnnxWeight scales(const std::string& name, bool turned, OnnxType type = OnnxType::kFloat) const;
  OnnxWeight zeros(const std::string& name, bool turned, OnnxType type) const;

 private:
  std::vector<int64_t> grid_dims(bool turned) const;
};

}  // namespace nibble
