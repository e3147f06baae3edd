// The embedding matrix (vocab, width), stored as floats or quantized and read row by row, and what
// makes the first residual stream of its rows.
#pragma once

#include <memory>
#include <span>
#include <variant>
#include <vector>

#include "model/kv_cache.h"
#include "model/linear.h"
#include "model/norm.h"
#include "tensor/quantized.h"
#include "tensor/view.h"

namespace nibble {

// What follows the row of an id; all of it may be missing.
struct EmbeddingTail {
  DecoderConfig config;
  std::shared_ptr<const Linear> project_in;  // (hidden, width)
  TensorView positions;                      // (context + offset, hidden)
  Norm norm;
};

class Embedding {
 public:
  Embedding() = default;
  explicit Embedding(TensorView floats, std::shared_ptr<const EmbeddingTail> tail = nullptr)
      : rows_(std::move(floats)), tail_(std::move(tail)) {}
  explicit Embedding(QuantizedMatrix quantized, std::shared_ptr<const EmbeddingTail> tail = nullptr)
      : rows_(std::move(quantized)), tail_(std::move(tail)) {}

  explicit Embedding(std::shared_ptr<const RowSource> stored,
                     std::shared_ptr<const EmbeddingTail> tail = nullptr)
      : rows_(std::move(stored)), tail_(std::move(tail)) {}

  bool quantized() const { return std::holds_alternative<QuantizedMatrix>(rows_); }
  // The rows that ids name, (count, width). Ids are within the vocabulary.
  void rows(std::span<const int32_t> ids, std::vector<float>& out) const;
  // The residual stream before the first block, (count, hidden), of the slices' ids one after
  // another.
  void embed(std::span<const int32_t> ids, std::span<const Slice> slices,
             std::vector<float>& h) const;

 private:
  std::variant<TensorView, QuantizedMatrix, std::shared_ptr<const RowSource>> rows_;
  std::shared_ptr<const EmbeddingTail> tail_;
};

}  // namespace nibble
