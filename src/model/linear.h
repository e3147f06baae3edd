// One linear layer y = x W' + b, whatever its weights are made of.
#pragma once

#include <memory>
#include <vector>

#include "kernels/packed_store.h"
#include "tensor/quantized.h"
#include "tensor/view.h"

namespace nibble {

// The rows that enter one or more linears; quantized at most once for all of them.
class LinearInput {
 public:
  LinearInput(const float* x, int64_t rows, int64_t k) : x(x), rows(rows), k(k) {}
  const Int8Rows& int8(Activations mode);
  const float* x;  // (rows, k)
  int64_t rows, k;

 private:
  std::shared_ptr<const Int8Rows> int8_;
  Activations int8_mode_ = Activations::kFloat;
};

class Linear {
 public:
  virtual ~Linear() = default;
  virtual int64_t rows() const = 0;  // outputs n
  virtual int64_t cols() const = 0;  // inputs k
  // y: (x.rows, n), row stride ldy, as pieces of work; x, y and this must live until all are done.
  virtual Pieces pieces(LinearInput& x, float* y, int64_t ldy, Epilogue epilogue) const = 0;
  void run(LinearInput& x, float* y, int64_t ldy, Epilogue epilogue = {}) const;
  virtual bool integer() const = 0;        // runs on integer kernels
  virtual int64_t read_bytes() const = 0;  // weight bytes that one decode step reads
};

// Float weights as stored (F32, F16, BF16), W: (n, k); converted panel by panel, never as a whole.
std::unique_ptr<Linear> make_float_linear(TensorView w, std::vector<float> bias);

// Quantized weights, dequantized panel by panel.
std::unique_ptr<Linear> make_dequantized_linear(QuantizedMatrix w, std::vector<float> bias);

// Quantized weights: on integer kernels where `mode` asks for them and the scheme has one, else
// dequantized. `store` keeps what is packed, or is null.
Result<std::unique_ptr<Linear>> make_quantized_linear(QuantizedMatrix w, std::vector<float> bias,
                                                      Activations mode, PackedStore* store);

}  // namespace nibble
