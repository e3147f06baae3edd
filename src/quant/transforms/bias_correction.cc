// Bias correction: what rounding the weights adds to a linear's mean output is taken off its bias.
// Source: Nagel et al., arXiv 1906.04721, section 4.2.
#include "base/threads.h"
#include "quant/transforms/transform.h"

namespace nibble {
namespace {

// b += (W - Q) E[x]
void correct(const FloatMatrix& w, const QuantizedMatrix& q, const InputStatistics& input,
             std::vector<float>& bias) {
  parallel_for(w.n, [&](int64_t r) {
    std::vector<float> row(static_cast<size_t>(w.k));
    q.dequantize(r, row.data());
    double shift = 0;
    for (int64_t j = 0; j < w.k; ++j)
      shift += (static_cast<double>(w.w[static_cast<size_t>(r * w.k + j)]) -
                row[static_cast<size_t>(j)]) *
               input.mean(j);
    bias[static_cast<size_t>(r)] += static_cast<float>(shift);
  });
}

}  // namespace

extern const Transform kTransform_bias_correction = {
    .name = "bias-correction",
    .summary = "biases take back what rounding adds to a linear's mean output",
    .need = InputStatistics::Need::kDiagonal,
    .bias = correct};

}  // namespace nibble
