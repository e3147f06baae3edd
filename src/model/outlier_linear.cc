#include "model/outlier_linear.h"

#include <cmath>

namespace nibble {
namespace {

class OutlierLinear final : public Linear {
 public:
  OutlierLinear(QuantizedMatrix w, std::unique_ptr<PackedMatrix> packed, std::vector<float> bias,
                InputRule rule, FloatColumns outliers)
      : w_(std::move(w)),
        packed_(std::move(packed)),
        bias_(std::move(bias)),
        rule_(rule),
        outliers_(std::move(outliers)) {}
  int64_t rows() const override { return w_.rows(); }
  int64_t cols() const override { return w_.cols(); }
  Arithmetic arithmetic() const override { return Arithmetic::kInteger; }
  int64_t read_bytes() const override {
    return packed_->bytes() + static_cast<int64_t>(outliers_.w.size() * sizeof(float));
  }

  Pieces pieces(LinearInput& x, float* y, int64_t ldy, Epilogue epilogue) const override {
    const OutlierSplit& split = x.split(rule_, outliers_.columns);
    const float* bias = bias_.empty() ? nullptr : bias_.data();
    if (!split.columns.empty())
      epilogue = followed_by(
          [=, this, &split, rows = x.rows](int64_t first, int64_t last) {
            add_outliers(split, rows, first, last, y, ldy);
          },
          std::move(epilogue));
    return integer_matmul_pieces(
        {packed_.get(), split.rest.get(), bias, y, ldy, std::move(epilogue)});
  }

 private:
  // y[:, first:last) += outliers * (their columns of W)'.
  void add_outliers(const OutlierSplit& split, int64_t rows, int64_t first, int64_t last, float* y,
                    int64_t ldy) const {
    size_t count = split.columns.size();
    int64_t row_bytes = QuantizedMatrix::row_bytes(w_.scheme(), w_.cols());
    auto codes = reinterpret_cast<const uint8_t*>(w_.code_view().bytes.data());
    std::vector<float> w(count);
    size_t kept = outliers_.columns.size();
    for (int64_t i = first; i < last; ++i) {
      for (size_t c = 0, f = 0; c < count; ++c) {  // both lists ascend, the kept one is within
        int64_t j = split.columns[c];
        if (f < kept && outliers_.columns[f] == j) {
          w[c] = outliers_.w[static_cast<size_t>(i) * kept + f++];
          continue;
        }
        int64_t group = w_.groups() > 1 ? j / w_.group_size() : 0;
        w[c] = decode(codes[i * row_bytes + j] ^ w_.code_flip(), w_.grid(i, group));
      }
      for (int64_t r = 0; r < rows; ++r) {
        const float* x = split.outliers.data() + static_cast<size_t>(r) * count;
        float sum = 0;
        for (size_t c = 0; c < count; ++c) sum += x[c] * w[c];
        y[r * ldy + i] += sum;
      }
    }
  }

  QuantizedMatrix w_;
  std::unique_ptr<PackedMatrix> packed_;
  std::vector<float> bias_;
  InputRule rule_;
  FloatColumns outliers_;
};

}  // namespace

OutlierSplit split_outliers(const float* x, int64_t rows, int64_t k, const InputRule& rule,
                            const std::vector<int64_t>& always) {
  OutlierSplit split;
  std::vector<uint8_t> large(static_cast<size_t>(k));
  for (int64_t j : always) large[static_cast<size_t>(j)] = 1;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t j = 0; j < k; ++j)
      large[static_cast<size_t>(j)] |= std::fabs(x[r * k + j]) >= rule.threshold;
  for (int64_t j = 0; j < k; ++j)
    if (large[static_cast<size_t>(j)]) split.columns.push_back(j);
  if (split.columns.empty()) {
    split.rest = quantize_rows(x, rows, k, rule.mode, rule.scale);
    return split;
  }
  std::vector<float> rest(x, x + rows * k);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t j : split.columns) {
      split.outliers.push_back(x[r * k + j]);
      rest[static_cast<size_t>(r * k + j)] = 0;
    }
  split.rest = quantize_rows(rest.data(), rows, k, rule.mode, rule.scale);
  return split;
}

std::unique_ptr<Linear> make_outlier_linear(QuantizedMatrix w, std::unique_ptr<PackedMatrix> packed,
                                            std::vector<float> bias, InputRule rule,
                                            FloatColumns outliers) {
  return std::make_unique<OutlierLinear>(std::move(w), std::move(packed), std::move(bias), rule,
                                         std::move(outliers));
}

}  // namespace nibble
