#include "quant/transforms/hadamard.h"

#include <cmath>

#include "base/result.h"
#include "model/blas.h"
#include "quant/python_random.h"

namespace nibble {
namespace {

bool is_prime(int64_t q) {
  if (q < 2) return false;
  for (int64_t d = 2; d * d <= q; ++d)
    if (q % d == 0) return false;
  return true;
}

// Legendre symbols of 0 .. q - 1.
std::vector<int8_t> residues(int64_t q) {
  std::vector<int8_t> chi(static_cast<size_t>(q), -1);
  for (int64_t i = 1; i < q; ++i) chi[static_cast<size_t>(i * i % q)] = 1;
  chi[0] = 0;
  return chi;
}

// The bordered matrix of residues of order q + 1, zero on its diagonal: skew for q = 3 mod 4, else
// symmetric.
std::vector<int8_t> conference(int64_t q) {
  int64_t n = q + 1;
  auto chi = residues(q);
  std::vector<int8_t> c(static_cast<size_t>(n * n));
  for (int64_t i = 1; i < n; ++i) {
    c[static_cast<size_t>(i)] = 1;
    c[static_cast<size_t>(i * n)] = q % 4 == 3 ? -1 : 1;
    for (int64_t j = 1; j < n; ++j)
      c[static_cast<size_t>(i * n + j)] = chi[static_cast<size_t>((i - j + q) % q)];
  }
  return c;
}

std::optional<std::vector<int8_t>> base(int64_t n) {
  if (n == 1) return std::vector<int8_t>{1};
  if (n == 2) return std::vector<int8_t>{1, 1, 1, -1};
  if (n % 4 != 0) return std::nullopt;
  if (is_prime(n - 1)) {
    auto h = conference(n - 1);
    for (int64_t i = 0; i < n; ++i) h[static_cast<size_t>(i * n + i)] = 1;
    return h;
  }
  int64_t half = n / 2, q = half - 1;
  if (!is_prime(q) || q % 4 != 1) return std::nullopt;
  auto c = conference(q);
  std::vector<int8_t> h(static_cast<size_t>(n * n));
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j) {
      bool odd_row = i % 2, odd_column = j % 2;
      int8_t entry = c[static_cast<size_t>(i / 2 * half + j / 2)];
      int value = i / 2 == j / 2 ? (!odd_row && !odd_column ? 1 : -1)
                                 : (odd_row && odd_column ? -entry : entry);
      h[static_cast<size_t>(i * n + j)] = static_cast<int8_t>(value);
    }
  return h;
}

std::vector<int8_t> doubled(const std::vector<int8_t>& h, int64_t n) {
  std::vector<int8_t> out(h.size() * 4);
  for (int64_t i = 0; i < 2 * n; ++i)
    for (int64_t j = 0; j < 2 * n; ++j) {
      int8_t v = h[static_cast<size_t>(i % n * n + j % n)];
      out[static_cast<size_t>(i * 2 * n + j)] = i >= n && j >= n ? static_cast<int8_t>(-v) : v;
    }
  return out;
}

std::vector<float> random_orthogonal(int64_t n, PythonRandom& random) {
  std::vector<double> a(static_cast<size_t>(n * n)), tau(static_cast<size_t>(n));
  for (double& v : a)  // Box and Muller's normal numbers
    v = std::sqrt(-2 * std::log(1 - random.uniform())) * std::cos(2 * M_PI * random.uniform());
  auto k = static_cast<lapack_int>(n);
  NB_CHECK(LAPACKE_dgeqrf(LAPACK_COL_MAJOR, k, k, a.data(), k, tau.data()) == 0);
  NB_CHECK(LAPACKE_dorgqr(LAPACK_COL_MAJOR, k, k, k, a.data(), k, tau.data()) == 0);
  return {a.begin(), a.end()};
}

}  // namespace

std::optional<std::vector<int8_t>> hadamard(int64_t n) {
  for (int64_t order = n;; order /= 2) {  // the fewest doublings
    if (auto h = base(order)) {
      for (; order < n; order *= 2) h = doubled(*h, order);
      return h;
    }
    if (order % 2 != 0) return std::nullopt;
  }
}

std::vector<float> random_rotation(int64_t n, uint32_t seed) {
  PythonRandom random(seed);
  auto h = hadamard(n);
  if (!h) return random_orthogonal(n, random);
  std::vector<float> out(h->size());
  double scale = 1 / std::sqrt(static_cast<double>(n));
  for (int64_t i = 0; i < n; ++i) {
    double sign = random.below(2) ? scale : -scale;
    for (int64_t j = 0; j < n; ++j)
      out[static_cast<size_t>(i * n + j)] =
          static_cast<float>(sign * (*h)[static_cast<size_t>(i * n + j)]);
  }
  return out;
}

}  // namespace nibble
