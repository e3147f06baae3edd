#include "model/linear.h"

#include <algorithm>
#include <array>

#include "base/checked.h"
#include "base/threads.h"
#include "model/blas.h"
#include "model/outlier_linear.h"
#include "model/rounded_linear.h"

namespace nibble {
namespace {

// Rows of a float panel: small enough that a panel of 8192 columns stays in L2 and that every
// thread gets some. BLAS packs x anew for each, which for many rows of x costs more than that: with
// 64 it multiplies 2048 rows at two thirds of the speed that it has with 256.
constexpr int64_t kPanel = 64, kLargePanel = 256, kManyRows = 512, kManyOutputs = 2048;

int64_t panel_rows(int64_t x_rows, int64_t n) {
  return x_rows >= kManyRows && n >= kManyOutputs ? kLargePanel : kPanel;
}

// Up to how many rows of x stored floats are multiplied as they are, one dot product after another:
// reading them binds. Beyond, BLAS gets a panel made float.
constexpr int64_t kDotRows = 2 * kDotColumns;

// y columns [r0, r0 + count) from the float rows w: (count, k).
void multiply_panel(const LinearInput& x, const float* w, int64_t r0, int64_t count, float* y,
                    int64_t ldy) {
  auto k = static_cast<int>(x.k);
  if (x.rows == 1)
    cblas_sgemv(CblasRowMajor, CblasNoTrans, static_cast<int>(count), k, 1, w, k, x.x, 1, 0, y + r0,
                1);
  else
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, static_cast<int>(x.rows),
                static_cast<int>(count), k, 1, x.x, k, w, k, 0, y + r0, static_cast<int>(ldy));
}

// Panel by panel from `Source`, whose multiply(x, row, count, y, ldy) sets y columns
// [row, row + count). Its prepare(x) comes first, on one thread.
template <class Source>
class PanelLinear final : public Linear {
 public:
  PanelLinear(Source source, std::vector<float> bias)
      : source_(std::move(source)), bias_(std::move(bias)) {}
  int64_t rows() const override { return source_.rows(); }
  int64_t cols() const override { return source_.cols(); }
  Arithmetic arithmetic() const override { return Arithmetic::kFloat; }
  int64_t read_bytes() const override { return source_.stored_bytes(); }

  Pieces pieces(LinearInput& x, float* y, int64_t ldy, Epilogue epilogue) const override {
    int64_t n = rows(), panel = panel_rows(x.rows, n);
    if constexpr (requires { source_.prepare(x); }) source_.prepare(x);
    return {ceil_div(n, panel), false,
            [=, this, &x, epilogue = std::move(epilogue)](int64_t chunk) {
              int64_t first = chunk * panel, last = std::min(n, first + panel);
              source_.multiply(x, first, last - first, y, ldy);
              if (!bias_.empty())
                for (int64_t r = 0; r < x.rows; ++r)
                  for (int64_t i = first; i < last; ++i)
                    y[r * ldy + i] += bias_[static_cast<size_t>(i)];
              if (epilogue) epilogue(first, last);
            }};
  }

 private:
  Source source_;
  std::vector<float> bias_;
};

class StoredFloats {
 public:
  explicit StoredFloats(TensorView w)
      : w_(std::move(w)),
        type_(w_.dtype == DType::kF32   ? FloatType::kF32
              : w_.dtype == DType::kF16 ? FloatType::kF16
                                        : FloatType::kBF16) {}
  int64_t rows() const { return w_.dim(0); }
  int64_t cols() const { return w_.dim(1); }
  int64_t stored_bytes() const { return static_cast<int64_t>(w_.bytes.size()); }
  void prepare(LinearInput& x) const {
    if (const Bf16Products* products = bf16_products_for(x)) x.bf16_parts(*products);
  }
  void multiply(LinearInput& x, int64_t row, int64_t count, float* y, int64_t ldy) const {
    const std::byte* src = w_.bytes.data() + row * cols() * dtype_size(w_.dtype);
    if (x.rows <= kDotRows) {
      for (int64_t r = 0; r < x.rows; r += kDotColumns)
        float_ops().dot_rows(type_, src, count, x.k, x.x + r * x.k,
                             std::min(kDotColumns, x.rows - r), y + r * ldy + row, ldy);
      return;
    }
    if (const Bf16Products* products = bf16_products_for(x)) {
      int64_t whole = count / kBf16Rows * kBf16Rows;
      products->multiply(src, whole, x.k, x.bf16_parts(*products).data(), x.rows, y + row, ldy);
      if (whole == count) return;
      src += whole * cols() * dtype_size(w_.dtype);
      row += whole;
      count -= whole;
    }
    if (w_.dtype == DType::kF32 && reinterpret_cast<uintptr_t>(src) % alignof(float) == 0)
      return multiply_panel(x, reinterpret_cast<const float*>(src), row, count, y, ldy);
    thread_local std::vector<float> panel;
    panel.resize(static_cast<size_t>(count * cols()));
    to_float(w_.dtype, src, count * cols(), panel.data());
    multiply_panel(x, panel.data(), row, count, y, ldy);
  }

 private:
  const Bf16Products* bf16_products_for(const LinearInput& x) const {
    bool fits = type_ == FloatType::kBF16 && x.rows > kDotRows && x.k % kBf16Columns == 0;
    return fits ? bf16_products() : nullptr;
  }

  TensorView w_;
  FloatType type_;
};

class DequantizedRows {
 public:
  explicit DequantizedRows(QuantizedMatrix w) : w_(std::move(w)) {}
  int64_t rows() const { return w_.rows(); }
  int64_t cols() const { return w_.cols(); }
  int64_t stored_bytes() const { return w_.stored_bytes(); }
  void multiply(const LinearInput& x, int64_t row, int64_t count, float* y, int64_t ldy) const {
    thread_local std::vector<float> panel;
    panel.resize(static_cast<size_t>(count * cols()));
    for (int64_t i = 0; i < count; ++i) w_.dequantize(row + i, panel.data() + i * cols());
    multiply_panel(x, panel.data(), row, count, y, ldy);
  }

 private:
  QuantizedMatrix w_;
};

class DecodedRows {
 public:
  explicit DecodedRows(std::shared_ptr<const RowSource> w) : w_(std::move(w)) {}
  int64_t rows() const { return w_->rows(); }
  int64_t cols() const { return w_->cols(); }
  int64_t stored_bytes() const { return w_->stored_bytes(); }
  void multiply(const LinearInput& x, int64_t row, int64_t count, float* y, int64_t ldy) const {
    thread_local std::vector<float> panel;
    panel.resize(static_cast<size_t>(count * cols()));
    for (int64_t i = 0; i < count; ++i) w_->decode(row + i, panel.data() + i * cols());
    multiply_panel(x, panel.data(), row, count, y, ldy);
  }

 private:
  std::shared_ptr<const RowSource> w_;
};

class IntegerLinear final : public Linear {
 public:
  IntegerLinear(std::unique_ptr<PackedMatrix> packed, std::vector<float> bias, InputRule rule)
      : packed_(std::move(packed)), bias_(std::move(bias)), rule_(rule) {}
  int64_t rows() const override { return packed_->rows(); }
  int64_t cols() const override { return packed_->cols(); }
  Arithmetic arithmetic() const override { return Arithmetic::kInteger; }
  int64_t read_bytes() const override { return packed_->bytes(); }
  Pieces pieces(LinearInput& x, float* y, int64_t ldy, Epilogue epilogue) const override {
    return integer_matmul_pieces({packed_.get(), &x.int8(rule_),
                                  bias_.empty() ? nullptr : bias_.data(), y, ldy,
                                  std::move(epilogue)});
  }
  Stretch reads(int64_t x_rows) const override { return integer_matmul_reads(*packed_, x_rows); }

 private:
  std::unique_ptr<PackedMatrix> packed_;
  std::vector<float> bias_;
  InputRule rule_;
};

}  // namespace

struct RoundedRows {
  RoundedRows(std::vector<float> values, int64_t rows, int64_t k)
      : x(std::move(values)), input(x.data(), rows, k) {}
  std::vector<float> x;
  LinearInput input;
};

void Linear::run(LinearInput& x, float* y, int64_t ldy, Epilogue epilogue) const {
  run_pieces(std::array{pieces(x, y, ldy, std::move(epilogue))});
}

LinearInput& LinearInput::set(const float* rows_at, int64_t count, int64_t width) {
  x = rows_at;
  rows = count;
  k = width;
  int8_.forget();
  split_.forget();
  rounded_.forget();
  on_grid_.forget();
  bf16_parts_.forget();
  return *this;
}

const std::vector<uint16_t>& LinearInput::bf16_parts(const Bf16Products& products) {
  return bf16_parts_.get(&products, [&](std::vector<uint16_t>& parts) {
    int64_t groups = ceil_div(rows, kBf16Rows), size = kBf16Parts * kBf16Rows * k;
    parts.resize(static_cast<size_t>(groups * size));
    parallel_for(groups, [&](int64_t g) {
      int64_t first = g * kBf16Rows;
      products.cut(x + first * k, std::min(kBf16Rows, rows - first), k, parts.data() + g * size);
    });
  });
}

Int8Rows& LinearInput::int8(const InputRule& rule) {
  return *int8_.get(rule, [&](std::shared_ptr<Int8Rows>& value) {
    value = quantize_rows(x, rows, k, rule.mode, rule.scale, std::move(value));
  });
}

const OutlierSplit& LinearInput::split(const InputRule& rule, const std::vector<int64_t>& always) {
  return *split_.get({rule, always}, [&](std::shared_ptr<const OutlierSplit>& value) {
    value = std::make_shared<OutlierSplit>(split_outliers(x, rows, k, rule, always));
  });
}

LinearInput& LinearInput::rounded(const InputRule& rule, int64_t block) {
  auto make = [&](std::shared_ptr<RoundedRows>& value) {
    value = std::make_shared<RoundedRows>(round_rows(x, rows, k, rule, block), rows, k);
  };
  return rounded_.get({rule, block}, make)->input;
}

LinearInput& LinearInput::on_grid(const Grid& grid) {
  auto make = [&](std::shared_ptr<RoundedRows>& value) {
    std::vector<float> values(static_cast<size_t>(rows * k));
    parallel_for(rows,
                 [&](int64_t r) { round_to_grid(x + r * k, k, grid, values.data() + r * k); });
    value = std::make_shared<RoundedRows>(std::move(values), rows, k);
  };
  return on_grid_.get({grid.scale, grid.zero}, make)->input;
}

std::unique_ptr<Linear> make_float_linear(TensorView w, std::vector<float> bias) {
  return std::make_unique<PanelLinear<StoredFloats>>(StoredFloats(std::move(w)), std::move(bias));
}

std::unique_ptr<Linear> make_dequantized_linear(QuantizedMatrix w, std::vector<float> bias) {
  return std::make_unique<PanelLinear<DequantizedRows>>(DequantizedRows(std::move(w)),
                                                        std::move(bias));
}

std::unique_ptr<Linear> make_decoded_linear(std::shared_ptr<const RowSource> w,
                                            std::vector<float> bias, InputRule rule) {
  int64_t block = w->block();
  auto out = std::make_unique<PanelLinear<DecodedRows>>(DecodedRows(std::move(w)), std::move(bias));
  if (rule.mode == Activations::kFloat) return out;
  return make_rounded_linear(std::move(out), rule, block);
}

Result<std::unique_ptr<Linear>> make_quantized_linear(QuantizedMatrix w, std::vector<float> bias,
                                                      InputRule rule, PackedStore* store,
                                                      FloatColumns outliers) {
  if (rule.mode != Activations::kFloat && has_integer_kernel(w.scheme(), w.cols())) {
    auto packed = store ? NB_TRY(store->next(w)) : pack_matrix(w);
    w.code_view().release();  // the packed copy is what runs from here on
    if (rule.threshold > 0 && w.scheme().bits == 8)
      return make_outlier_linear(std::move(w), std::move(packed), std::move(bias), rule,
                                 std::move(outliers));
    return std::make_unique<IntegerLinear>(std::move(packed), std::move(bias), rule);
  }
  return make_dequantized_linear(std::move(w), std::move(bias));
}

}  // namespace nibble
