#include "quant/polish.h"

#include <algorithm>
#include <cmath>

#include "base/checked.h"
#include "base/threads.h"
#include "model/blas.h"

namespace nibble {
namespace {

constexpr int64_t kRowChunk = 32;     // rows a thread takes at once
constexpr int64_t kPanel = 128;       // columns between updates of the whole gradient
constexpr int64_t kMostSolved = 512;  // groups of a row whose scales are solved for together
constexpr int kRounds = 3, kSweeps = 2;

int blas(int64_t v) { return static_cast<int>(v); }

}  // namespace

PolishRows::PolishRows(const FloatMatrix& m, const QuantizedMatrix& q, std::span<const float> H,
                       int64_t r0, int64_t r1)
    : m_(m),
      H_(H),
      r0_(r0),
      rows_(r1 - r0),
      k_(m.k),
      size_(m.scheme.group_size(m.k)),
      groups_(m.scheme.groups(m.k)),
      span_(m.scheme.blocks ? m.scheme.blocks->block : size_),
      bases_(ceil_div(k_, span_)),
      kinds_(m.scheme.blocks && ggml_grids(*m.scheme.blocks)->low ? 2 : 1),
      values_(static_cast<size_t>(rows_ * k_)),
      gradient_(values_.size()),
      codes_(values_.size()) {
  for (int64_t r = 0; r < rows_; ++r) {
    q.codes(r0 + r, codes_.data() + r * k_);
    q.dequantize(r0 + r, values_.data() + r * k_);
    for (int64_t g = 0; g < groups_; ++g) grids_.push_back(q.grid(r0 + r, g));
  }
  compute_gradient();
}

void PolishRows::compute_gradient() {
  std::vector<float> e = values_;
  const float* w = m_.w.data() + r0_ * k_;
  for (size_t i = 0; i < e.size(); ++i) e[i] -= w[i];
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, blas(rows_), blas(k_), blas(k_), 1,
              e.data(), blas(k_), H_.data(), blas(k_), 0, gradient_.data(), blas(k_));
}

void PolishRows::add_to_gradient(const std::vector<float>& change, int64_t ld, int64_t begin,
                                 int64_t count) {
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, blas(rows_), blas(k_), blas(count), 1,
              change.data(), blas(ld), H_.data() + begin * k_, blas(k_), 1, gradient_.data(),
              blas(k_));
}

double PolishRows::error(int64_t row) const {
  double total = 0;
  for (auto i = static_cast<size_t>(row * k_); i < static_cast<size_t>((row + 1) * k_); ++i)
    total +=
        (static_cast<double>(values_[i]) - m_.w[static_cast<size_t>(r0_ * k_) + i]) * gradient_[i];
  return total;
}

void PolishRows::store(QuantizedBuilder& out) const {
  for (int64_t r = 0; r < rows_; ++r)
    out.set_row(
        r0_ + r, codes_.data() + r * k_,
        std::span(grids_).subspan(static_cast<size_t>(r * groups_), static_cast<size_t>(groups_)));
}

int64_t PolishRows::sweep_codes() {
  int64_t moved = 0;
  std::vector<float> change(static_cast<size_t>(rows_ * kPanel));
  for (int64_t begin = 0; begin < k_; begin += kPanel) {
    int64_t count = std::min(kPanel, k_ - begin), before = moved;
    std::fill(change.begin(), change.end(), 0.f);
    for (int64_t r = 0; r < rows_; ++r)
      moved += sweep_panel(r, begin, count, change.data() + r * kPanel);
    if (moved != before) add_to_gradient(change, kPanel, begin, count);
  }
  return moved;
}

// The panel's own gradient follows each move at once; other columns' waits in `change`.
int64_t PolishRows::sweep_panel(int64_t r, int64_t begin, int64_t count, float* change) {
  int64_t moved = 0;
  float g[kPanel];
  std::copy_n(gradient_.data() + r * k_ + begin, count, g);
  for (int64_t i = 0; i < count; ++i) {
    int64_t j = begin + i;
    const float* h = H_.data() + j * k_ + begin;
    if (!(h[i] > 0)) continue;
    const Grid& grid = grid_of(r, j);
    float& value = values_[static_cast<size_t>(r * k_ + j)];
    uint8_t& code = codes_[static_cast<size_t>(r * k_ + j)];
    int wanted = encode(value - g[i] / h[i], grid, m_.scheme);
    float d = decode(wanted, grid) - value;
    if (wanted == code || d * (2 * g[i] + d * h[i]) >= 0) continue;
    code = static_cast<uint8_t>(wanted);
    value = decode(wanted, grid);
    change[i] = d;
    for (int64_t c = 0; c < count; ++c) g[c] += d * h[c];
    ++moved;
  }
  return moved;
}

// Those of run b of a row.
std::span<Grid> PolishRows::base_grids(int64_t r, int64_t b) {
  int64_t first = b * span_ / size_, count = std::min(span_ / size_, groups_ - first);
  return std::span(grids_).subspan(static_cast<size_t>(r * groups_ + first),
                                   static_cast<size_t>(count));
}

// What the numbers of a kind are multiplied by in each value, (rows, k).
std::vector<float> PolishRows::column_factors(int kind) const {
  std::vector<float> out(values_.size());
  for (int64_t r = 0; r < rows_; ++r)
    for (int64_t j = 0; j < k_; ++j) {
      auto i = static_cast<size_t>(r * k_ + j);
      const Grid& g = grid_of(r, j);
      out[i] = kind == 0 ? (g.level(codes_[i]) - static_cast<float>(g.zero)) * g.multiple
                         : -static_cast<float>(g.low_multiple);
    }
  return out;
}

// With values = C s (a column of C for each number) the error's least lies where
// C'HC ds = -C'(H e).
int64_t PolishRows::refit_scales() {
  int64_t unknowns = bases_ * kinds_;
  if (unknowns > kMostSolved || m_.scheme.group == Scheme::kTensor) return 0;
  auto U = static_cast<size_t>(unknowns);
  std::vector<std::vector<float>> C;
  for (int kind = 0; kind < kinds_; ++kind) C.push_back(column_factors(kind));
  std::vector<float> HC(values_.size());
  auto dot = [&](const std::vector<float>& v, int64_t r, int64_t u) {
    double total = 0;
    int64_t begin = u / kinds_ * span_;
    for (int64_t j = begin; j < std::min(k_, begin + span_); ++j)
      total += static_cast<double>(v[static_cast<size_t>(r * k_ + j)]) *
               C[static_cast<size_t>(u % kinds_)][static_cast<size_t>(r * k_ + j)];
    return total;
  };
  std::vector<double> normal(static_cast<size_t>(rows_) * U * U),
      right(static_cast<size_t>(rows_) * U);
  for (int64_t u = 0; u < unknowns; ++u) {
    int64_t begin = u / kinds_ * span_, count = std::min(span_, k_ - begin);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, blas(rows_), blas(k_), blas(count), 1,
                C[static_cast<size_t>(u % kinds_)].data() + begin, blas(k_), H_.data() + begin * k_,
                blas(k_), 0, HC.data(), blas(k_));
    for (int64_t r = 0; r < rows_; ++r) {
      auto at = static_cast<size_t>(r * unknowns + u);
      right[at] = -dot(gradient_, r, u);
      for (int64_t v = 0; v < unknowns; ++v)
        normal[at * U + static_cast<size_t>(v)] = dot(HC, r, v);
    }
  }
  std::vector<float> values = values_, gradient = gradient_;
  std::vector<Grid> grids = grids_;
  std::vector<double> before;
  for (int64_t r = 0; r < rows_; ++r) {
    before.push_back(error(r));
    auto at = static_cast<size_t>(r) * U;
    if (solve_scales(std::span(normal).subspan(at * U, U * U), std::span(right).subspan(at, U), r))
      for (int64_t j = 0; j < k_; ++j) {
        auto i = static_cast<size_t>(r * k_ + j);
        values_[i] = decode(codes_[i], grid_of(r, j));
      }
  }
  compute_gradient();
  int64_t kept = 0;
  for (int64_t r = 0; r < rows_; ++r) {
    if (error(r) < before[static_cast<size_t>(r)]) {
      ++kept;
      continue;
    }
    std::copy_n(values.data() + r * k_, k_, values_.data() + r * k_);
    std::copy_n(gradient.data() + r * k_, k_, gradient_.data() + r * k_);
    std::copy_n(grids.data() + r * groups_, groups_, grids_.data() + r * groups_);
  }
  return kept;
}

bool PolishRows::solve_scales(std::span<double> normal, std::span<double> right, int64_t r) {
  size_t U = right.size();
  double mean = 0;
  for (size_t u = 0; u < U; ++u) mean += normal[u * (U + 1)] / static_cast<double>(U);
  if (!(mean > 0)) return false;
  for (size_t u = 0; u < U; ++u) normal[u * (U + 1)] += 1e-6 * mean;  // groups of zeros
  auto n = static_cast<lapack_int>(U);
  if (LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'U', n, normal.data(), n) != 0 ||
      LAPACKE_dpotrs_work(LAPACK_COL_MAJOR, 'U', n, 1, normal.data(), n, right.data(), n) != 0)
    return false;
  return set_scales(right, r);
}

// Adds `change` to the row's numbers; all or nothing. A scale may not change its sign: zero would
// be near.
bool PolishRows::set_scales(std::span<const double> change, int64_t r) {
  auto first = grids_.begin() + r * groups_;
  std::vector<Grid> before(first, first + groups_);
  bool sound = true;
  for (int64_t b = 0; b < bases_ && sound; ++b) {
    std::span<Grid> grids = base_grids(r, b);
    const double* d = change.data() + b * kinds_;
    if (!m_.scheme.blocks) {
      float& scale = grids[0].scale;
      float s = round_scale(scale + static_cast<float>(d[0]), m_.scheme.scale_type);
      sound = std::isfinite(s) && (s < 0) == (scale < 0);
      scale = s;
      continue;
    }
    const GgmlGrids& form = *ggml_grids(*m_.scheme.blocks);
    GgmlBase base = ggml_base(grids);
    GgmlBase now = ggml_stored(
        {static_cast<float>(base.d + d[0]), kinds_ > 1 ? static_cast<float>(base.m + d[1]) : 0});
    sound = std::isfinite(now.d) && std::isfinite(now.m) && (now.d < 0) == (base.d < 0);
    for (Grid& g : grids) g = ggml_grid_of(form, now, g.multiple, g.low_multiple);
  }
  if (!sound) std::copy(before.begin(), before.end(), first);
  return sound;
}

std::vector<float> damped_hessian(const InputStatistics& s, double damping) {
  int64_t k = s.cols();
  double mean = 0;
  for (int64_t j = 0; j < k; ++j) mean += s.diagonal(j) / static_cast<double>(k);
  double scale = mean > 0 ? 1 / mean : 1;
  std::vector<float> H(s.hessian().size());
  for (size_t i = 0; i < H.size(); ++i) H[i] = static_cast<float>(s.hessian()[i] * scale);
  for (int64_t j = 0; j < k; ++j)
    H[static_cast<size_t>(j * (k + 1))] += static_cast<float>(damping);
  return H;
}

QuantizedMatrix polish(const FloatMatrix& m, const QuantizedMatrix& start,
                       std::span<const float> H) {
  QuantizedBuilder out(m.scheme, m.n, m.k);
  parallel_for(ceil_div(m.n, kRowChunk), [&](int64_t chunk) {
    PolishRows rows(m, start, H, chunk * kRowChunk, std::min(m.n, (chunk + 1) * kRowChunk));
    auto sweep = [&] {
      for (int i = 0; i < kSweeps; ++i)
        if (rows.sweep_codes() == 0) return;
    };
    for (int round = 0; round < kRounds; ++round) {
      sweep();
      rows.refit_scales();
      if (round == 0) rows.search_grids();
    }
    sweep();
    rows.store(out);
  });
  return out.finish();
}

}  // namespace nibble
