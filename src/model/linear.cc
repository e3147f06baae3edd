#include "model/linear.h"

#include <cblas.h>

#include <algorithm>

#include "base/checked.h"
#include "base/threads.h"

namespace nibble {
namespace {

// Rows of a float panel: enough that repacking x for each panel costs little, small enough that a
// panel of 8192 columns stays in L2.
constexpr int64_t kPanel = 64;

void add_bias(const std::vector<float>& bias, float* y, int64_t rows, int64_t n, int64_t ldy) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t i = 0; i < n; ++i) y[r * ldy + i] += bias[static_cast<size_t>(i)];
}

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

// Floats made panel by panel from `Source`, whose load(row, count, out) yields (count, k).
template <class Source>
class PanelLinear final : public Linear {
 public:
  PanelLinear(Source source, std::vector<float> bias)
      : source_(std::move(source)), bias_(std::move(bias)) {}
  int64_t rows() const override { return source_.rows(); }
  int64_t cols() const override { return source_.cols(); }
  bool integer() const override { return false; }
  int64_t read_bytes() const override { return source_.stored_bytes(); }

  void run(LinearInput& x, float* y, int64_t ldy) const override {
    int64_t n = rows();
    parallel_for(ceil_div(n, kPanel), [&](int64_t chunk) {
      int64_t r0 = chunk * kPanel, count = std::min(kPanel, n - r0);
      thread_local std::vector<float> panel;
      multiply_panel(x, source_.load(r0, count, panel), r0, count, y, ldy);
    });
    if (!bias_.empty()) add_bias(bias_, y, x.rows, n, ldy);
  }

 private:
  Source source_;
  std::vector<float> bias_;
};

class StoredFloats {
 public:
  explicit StoredFloats(TensorView w) : w_(std::move(w)) {}
  int64_t rows() const { return w_.dim(0); }
  int64_t cols() const { return w_.dim(1); }
  int64_t stored_bytes() const { return static_cast<int64_t>(w_.bytes.size()); }
  const float* load(int64_t row, int64_t count, std::vector<float>& panel) const {
    const std::byte* src = w_.bytes.data() + row * cols() * dtype_size(w_.dtype);
    if (w_.dtype == DType::kF32 && reinterpret_cast<uintptr_t>(src) % alignof(float) == 0)
      return reinterpret_cast<const float*>(src);
    panel.resize(static_cast<size_t>(count * cols()));
    to_float(w_.dtype, src, count * cols(), panel.data());
    return panel.data();
  }

 private:
  TensorView w_;
};

class DequantizedRows {
 public:
  explicit DequantizedRows(QuantizedMatrix w) : w_(std::move(w)) {}
  int64_t rows() const { return w_.rows(); }
  int64_t cols() const { return w_.cols(); }
  int64_t stored_bytes() const { return w_.stored_bytes(); }
  const float* load(int64_t row, int64_t count, std::vector<float>& panel) const {
    panel.resize(static_cast<size_t>(count * cols()));
    for (int64_t i = 0; i < count; ++i) w_.dequantize(row + i, panel.data() + i * cols());
    return panel.data();
  }

 private:
  QuantizedMatrix w_;
};

class IntegerLinear final : public Linear {
 public:
  IntegerLinear(const QuantizedMatrix& w, std::vector<float> bias, Activations mode)
      : packed_(pack_matrix(w)), bias_(std::move(bias)), mode_(mode) {}
  int64_t rows() const override { return packed_->rows(); }
  int64_t cols() const override { return packed_->cols(); }
  bool integer() const override { return true; }
  int64_t read_bytes() const override { return packed_->bytes(); }
  void run(LinearInput& x, float* y, int64_t ldy) const override {
    integer_matmul(*packed_, x.int8(mode_), bias_.empty() ? nullptr : bias_.data(), y, ldy);
  }

 private:
  std::unique_ptr<PackedMatrix> packed_;
  std::vector<float> bias_;
  Activations mode_;
};

}  // namespace

const Int8Rows& LinearInput::int8(Activations mode) {
  if (!int8_ || int8_mode_ != mode) {
    int8_ = quantize_rows(x, rows, k, mode);
    int8_mode_ = mode;
  }
  return *int8_;
}

std::unique_ptr<Linear> make_float_linear(TensorView w, std::vector<float> bias) {
  return std::make_unique<PanelLinear<StoredFloats>>(StoredFloats(std::move(w)), std::move(bias));
}

std::unique_ptr<Linear> make_quantized_linear(QuantizedMatrix w, std::vector<float> bias,
                                              Activations mode) {
  if (mode != Activations::kFloat && has_integer_kernel(w.scheme(), w.cols())) {
    auto linear = std::make_unique<IntegerLinear>(w, std::move(bias), mode);
    w.code_view().release();  // the packed copy is what runs from here on
    return linear;
  }
  return std::make_unique<PanelLinear<DequantizedRows>>(DequantizedRows(std::move(w)),
                                                        std::move(bias));
}

}  // namespace nibble
