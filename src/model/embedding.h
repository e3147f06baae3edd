// The embedding matrix (vocab, hidden), stored as floats or quantized, read row by row.
#pragma once

#include <span>
#include <variant>
#include <vector>

#include "tensor/quantized.h"
#include "tensor/view.h"

namespace nibble {

class Embedding {
 public:
  Embedding() = default;
  explicit Embedding(TensorView floats) : rows_(std::move(floats)) {}
  explicit Embedding(QuantizedMatrix quantized) : rows_(std::move(quantized)) {}

  bool quantized() const { return std::holds_alternative<QuantizedMatrix>(rows_); }
  // The rows that ids name. h: (count, hidden). Ids are within the vocabulary.
  void embed(std::span<const int32_t> ids, std::vector<float>& h) const;

 private:
  std::variant<TensorView, QuantizedMatrix> rows_;
};

}  // namespace nibble
