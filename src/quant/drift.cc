#include "quant/drift.h"

#include <numeric>

#include "base/checked.h"
#include "base/threads.h"
#include "model/blas.h"
#include "quant/hessian.h"

namespace nibble {
namespace {

constexpr float kAlpha = .25f;
constexpr int64_t kRowChunk = 64;

// m.w += alpha W D U'U. D: (k, k); U: the factor of the inverse Hessian in natural order.
void shift(FloatMatrix& m, const std::vector<float>& D, const std::vector<float>& U) {
  auto k = static_cast<int>(m.k);
  parallel_for(ceil_div(m.n, kRowChunk), [&](int64_t chunk) {
    int64_t r0 = chunk * kRowChunk;
    auto rows = static_cast<int>(std::min(kRowChunk, m.n - r0));
    float* w = m.w.data() + r0 * m.k;
    std::vector<float> a(static_cast<size_t>(rows * m.k)), b(a.size());
    auto multiply = [&](const float* x, CBLAS_TRANSPOSE t, const float* y, float alpha, float beta,
                        float* out) {
      cblas_sgemm(CblasRowMajor, CblasNoTrans, t, rows, k, k, alpha, x, k, y, k, beta, out, k);
    };
    multiply(w, CblasNoTrans, D.data(), 1, 0, a.data());
    multiply(a.data(), CblasTrans, U.data(), 1, 0, b.data());
    multiply(b.data(), CblasNoTrans, U.data(), kAlpha, 1, w);
  });
}

}  // namespace

std::vector<FloatMatrix> shift_for_drift(std::span<const FloatMatrix> matrices,
                                         const InputStatistics& s, double damping) {
  std::vector<FloatMatrix> out(matrices.begin(), matrices.end());
  if (s.drift().empty()) return out;
  std::vector<int64_t> natural(static_cast<size_t>(s.cols()));
  std::iota(natural.begin(), natural.end(), 0);
  InverseFactor factor = factor_inverse(s, natural, damping);
  if (factor.U.empty()) return out;
  std::vector<float> D(s.drift().size());
  for (size_t i = 0; i < D.size(); ++i)
    D[i] = static_cast<float>(s.drift()[i] / static_cast<double>(s.tokens()));
  for (FloatMatrix& m : out) shift(m, D, factor.U);
  return out;
}

}  // namespace nibble
