// A stored matrix row by row as floats, whatever form it has.
#pragma once

#include <optional>

#include "model/weights.h"

namespace nibble {

// Compared on all threads.
bool equal_bytes(std::span<const std::byte> a, std::span<const std::byte> b);

class RowReader {
 public:
  static Result<RowReader> open(const Weights& weights, const std::string& module, int64_t n,
                                int64_t k);
  // The integers, or null where there are none.
  const QuantizedMatrix* quantized() const { return quantized_ ? &*quantized_ : nullptr; }
  // The floats as stored, (n, k), or null where there are integers.
  const TensorView* floats() const { return quantized_ ? nullptr : &floats_; }
  // Whether both store the same values in the same bytes, so that nothing needs to be decoded.
  bool same_bytes(const RowReader& other) const;
  // Whether both are integers, and nibble::same_integers.
  bool same_integers(const RowReader& other) const;
  // out: (k). From any thread.
  void operator()(int64_t row, float* out) const;
  // Gives mapped pages back.
  void release() const;

 private:
  std::optional<QuantizedMatrix> quantized_;
  TensorView floats_;
  int64_t k_ = 0;
};

}  // namespace nibble
