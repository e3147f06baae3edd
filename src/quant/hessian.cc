#include "quant/hessian.h"

#include <algorithm>
#include <cmath>

#include "model/blas.h"

namespace nibble {
namespace {

// Writes H in *reversed* `order` into `out` (k, k), so that its lower Cholesky factor L gives, read
// backwards, the upper R with H = R R'; inverse(H) = U' U then has U = inverse(R) directly, without
// forming the inverse.
void reversed(const InputStatistics& s, std::span<const int64_t> order, std::vector<double>& out) {
  int64_t k = s.cols();
  const std::vector<double>& h = s.hessian();
  double scale = 1 / static_cast<double>(std::max<int64_t>(1, s.tokens()));
  out.resize(h.size());
  for (int64_t i = 0; i < k; ++i)
    for (int64_t j = 0; j < k; ++j)
      out[static_cast<size_t>(i * k + j)] =
          h[static_cast<size_t>(order[static_cast<size_t>(k - 1 - i)] * k +
                                order[static_cast<size_t>(k - 1 - j)])] *
          scale;
}

// Factorises and inverts in place; false when not positive definite. LAPACK is column major: a
// symmetric matrix is its own transpose, 'U' there is the row-major lower triangle.
bool invert_factor(std::vector<double>& a, int64_t k) {
  auto n = static_cast<lapack_int>(k);
  if (LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'U', n, a.data(), n) != 0) return false;
  if (LAPACKE_dtrtri_work(LAPACK_COL_MAJOR, 'U', 'N', n, a.data(), n) != 0) return false;
  for (int64_t i = 0; i < k; ++i)
    if (!std::isfinite(a[static_cast<size_t>(i * k + i)])) return false;
  return true;
}

// Row-major lower inverse(L), reversed in rows and columns, is the upper U.
std::vector<float> to_upper(const std::vector<double>& a, int64_t k) {
  std::vector<float> U(a.size());
  for (int64_t i = 0; i < k; ++i)
    for (int64_t j = i; j < k; ++j)
      U[static_cast<size_t>(i * k + j)] =
          static_cast<float>(a[static_cast<size_t>((k - 1 - i) * k + (k - 1 - j))]);
  return U;
}

}  // namespace

InverseFactor factor_inverse(const InputStatistics& s, std::span<const int64_t> order,
                             double damping) {
  InverseFactor out;
  int64_t k = s.cols(), dead = 0;
  std::vector<double> a;
  double mean = 0, top = 0, scale = 1 / static_cast<double>(std::max<int64_t>(1, s.tokens()));
  for (int64_t i = k; i-- > 0;) {
    double d = s.diagonal(order[static_cast<size_t>(i)]) * scale;
    mean += d / static_cast<double>(k);
    top = std::max(top, d);
    dead += d == 0;
  }
  if (dead > 0) out.notes.push_back(fmt::format("{} of {} inputs were never active", dead, k));
  auto attempt = [&](double add, double floor) {
    // Made anew for each try: a copy to go back to would be as large again.
    reversed(s, order, a);
    for (int64_t i = 0; i < k; ++i) {
      double& d = a[static_cast<size_t>(i * k + i)];
      d = std::max(d == 0 ? 1 : d, floor) + add;
    }
    if (!invert_factor(a, k)) return false;
    out.U = to_upper(a, k);
    return true;
  };
  for (double d = damping; d <= 1; d += .01)
    if (attempt(d * mean, 0)) {
      out.damping = d;
      if (d > damping) out.notes.push_back(fmt::format("damping raised to {:.2f}", d));
      return out;
    }
  double floor = 1e-6 * top;
  for (int i = 0; i < 6; ++i, floor *= 10)
    if (attempt(mean, floor)) {
      out.damping = 1;
      out.notes.push_back(fmt::format("diagonal lifted to {:.1e} of its maximum", floor / top));
      return out;
    }
  out.notes.push_back("Hessian could not be factorised; rounded to nearest instead");
  return out;
}

}  // namespace nibble
