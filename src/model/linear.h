// One linear layer y = x W' + b, whatever its weights are made of.
#pragma once

#include <memory>
#include <vector>

#include "base/memo.h"
#include "kernels/packed_store.h"
#include "model/input_rules.h"
#include "tensor/linear_grids.h"
#include "tensor/quantized.h"
#include "tensor/row_source.h"
#include "tensor/view.h"

namespace nibble {

struct OutlierSplit;
struct RoundedRows;

// Columns of a quantized matrix that are stored as floats too, for inputs that are nearly always
// large there.
struct FloatColumns {
  std::vector<int64_t> columns;  // c of them, ascending
  std::vector<float> w;          // (n, c)
};

// The rows that enter one or more linears; quantized at most once for all of them.
class LinearInput {
 public:
  LinearInput() = default;
  LinearInput(const float* x, int64_t rows, int64_t k) : x(x), rows(rows), k(k) {}
  // Other rows from now on; memory of what was made of those before is used again.
  LinearInput& set(const float* x, int64_t rows, int64_t k);

  // These live until the next set().
  Int8Rows& int8(const InputRule& rule);
  const OutlierSplit& split(const InputRule& rule, const std::vector<int64_t>& always);
  // These rows with the rule's int8 values as floats (rounded_linear.h).
  LinearInput& rounded(const InputRule& rule, int64_t block);
  // These rows rounded to the values of a grid of 8 bits (rounded_linear.h).
  LinearInput& on_grid(const Grid& grid);
  // These rows cut for Bf16Products; k is a multiple of kBf16Columns.
  const std::vector<uint16_t>& bf16_parts(const Bf16Products& products);
  const float* x = nullptr;  // (rows, k)
  int64_t rows = 0, k = 0;

 private:
  Memo<InputRule, std::shared_ptr<Int8Rows>> int8_;
  Memo<std::pair<InputRule, std::vector<int64_t>>, std::shared_ptr<const OutlierSplit>> split_;
  Memo<std::pair<InputRule, int64_t>, std::shared_ptr<RoundedRows>> rounded_;
  Memo<std::pair<float, int>, std::shared_ptr<RoundedRows>> on_grid_;  // by scale and zero point
  Memo<const Bf16Products*, std::vector<uint16_t>> bf16_parts_;
};

// On integers; on floats, of which the inputs were rounded to int8; on floats.
enum class Arithmetic : uint8_t { kInteger, kRoundedInput, kFloat };

// Of a model's linears: how many compute so.
struct ArithmeticCounts {
  int64_t integer = 0, rounded = 0, all = 0;
  int64_t int8() const { return integer + rounded; }  // inputs
};

class Linear {
 public:
  virtual ~Linear() = default;
  virtual int64_t rows() const = 0;  // outputs n
  virtual int64_t cols() const = 0;  // inputs k
  // y: (x.rows, n), row stride ldy, as pieces of work; x, y and this must live until all are done.
  virtual Pieces pieces(LinearInput& x, float* y, int64_t ldy, Epilogue epilogue) const = 0;
  void run(LinearInput& x, float* y, int64_t ldy, Epilogue epilogue = {}) const;
  // What these pieces, for so many rows of x, read as a stream; nothing where they do not.
  virtual Stretch reads([[maybe_unused]] int64_t x_rows) const { return {}; }
  virtual Arithmetic arithmetic() const = 0;
  virtual int64_t read_bytes() const = 0;  // weight bytes that one decode step reads
};

// Float weights as stored (F32, F16, BF16), W: (n, k); converted panel by panel, never as a whole.
std::unique_ptr<Linear> make_float_linear(TensorView w, std::vector<float> bias);

// Quantized weights, dequantized panel by panel.
std::unique_ptr<Linear> make_dequantized_linear(QuantizedMatrix w, std::vector<float> bias);

// Weights that only their source can read, made float panel by panel. Where the rule asks for
// integer arithmetic, the inputs are rounded as the format's own runtime rounds them.
std::unique_ptr<Linear> make_decoded_linear(std::shared_ptr<const RowSource> w,
                                            std::vector<float> bias, InputRule rule);

// Quantized weights: on integer kernels where the rule asks for them and the scheme has one, else
// dequantized. `store` keeps what is packed, or is null. `outliers` are used where the rule has a
// threshold.
Result<std::unique_ptr<Linear>> make_quantized_linear(QuantizedMatrix w, std::vector<float> bias,
                                                      InputRule rule, PackedStore* store,
                                                      FloatColumns outliers = {});

}  // namespace nibble
