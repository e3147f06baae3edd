#include "quant/grid_search.h"

#include <algorithm>
#include <cmath>

#include "base/checked.h"
#include "base/threads.h"
#include "formats/ggml_fit.h"
#include "model/blas.h"

namespace nibble {
namespace {

constexpr int64_t kRowChunk = 16;

// A group's values with their weights, under one measure.
struct Group {
  std::span<const float> w;
  std::span<const float> weights;  // empty: ones
  float power;
  const Scheme& scheme;
  const float* hessian = nullptr;  // the group's block of H
  int64_t hessian_stride = 0;

  double error(const Grid& g) const {
    float inverse = 1.f / g.scale;
    float lo = static_cast<float>(scheme.min_code() - g.zero);
    float hi = static_cast<float>(scheme.max_code() - g.zero);
    constexpr float kRound =
        12582912.f;               // 1.5 x 2^23: adding and taking it off rounds to nearest even
    constexpr size_t kLanes = 8;  // partial sums in a fixed order, so that the loop vectorizes
    float sums[kLanes] = {};
    auto cost = [&](size_t j) {
      float q = (std::min(std::max(w[j] * inverse, lo), hi) + kRound) - kRound;
      float e = std::fabs(q * g.scale - w[j]);
      float c = power == 2 ? e * e : std::pow(e, power);
      return weights.empty() ? c : c * weights[j];
    };
    size_t j = 0;
    for (; j + kLanes <= w.size(); j += kLanes)
      for (size_t i = 0; i < kLanes; ++i) sums[i] += cost(j + i);
    double total = 0;
    for (; j < w.size(); ++j) total += cost(j);
    for (float s : sums) total += s;
    return total;
  }
};

// The best grid so far under the diagonal measure, and the runners-up.
class Best {
 public:
  Best(const Group& group, const Grid& start) : group_(group) { offer(start); }
  void offer(const Grid& candidate) {
    double e = group_.error(candidate);
    size_t at = list_.size();
    while (at > 0 && e < list_[at - 1].error) --at;
    if (at > 0 && list_[at - 1].error == e) return;  // most likely the same grid again
    if (at == kKept) return;
    list_.insert(list_.begin() + static_cast<std::ptrdiff_t>(at), {candidate, e});
    if (list_.size() > kKept) list_.pop_back();
  }
  const Grid& grid() const { return list_[0].grid; }
  double error() const { return list_[0].error; }

  // Of those kept, the one with the least e' H e. H: the group's block of the Hessian, stride ld.
  Grid least_under(const float* H, int64_t ld) const {
    auto n = static_cast<int>(group_.w.size()), m = static_cast<int>(list_.size());
    std::vector<float> e(static_cast<size_t>(m * n)), product(e.size());
    for (int c = 0; c < m; ++c)
      for (int j = 0; j < n; ++j) {
        float w = group_.w[static_cast<size_t>(j)];
        const Grid& g = list_[static_cast<size_t>(c)].grid;
        e[static_cast<size_t>(c * n + j)] = decode(encode(w, g, group_.scheme), g) - w;
      }
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, m, n, n, 1, e.data(), n, H,
                static_cast<int>(ld), 0, product.data(), n);
    int best = 0;
    double least = 0;
    for (int c = 0; c < m; ++c) {
      double total = 0;
      for (int j = 0; j < n; ++j)
        total += static_cast<double>(e[static_cast<size_t>(c * n + j)]) *
                 product[static_cast<size_t>(c * n + j)];
      if (c == 0 || total < least) {
        least = total;
        best = c;
      }
    }
    return list_[static_cast<size_t>(best)].grid;
  }

 private:
  static constexpr size_t kKept = 24;
  struct Scored {
    Grid grid;
    double error;
  };
  const Group& group_;
  std::vector<Scored> list_;
};

// Shrinks the range in steps of 1 % down to a fifth (GPTQ's mse search; arXiv 2210.17323's code),
// then, where the scheme has two free ends, moves each on its own around the best.
Grid search_group(const Group& group) {
  auto [lo_it, hi_it] = std::minmax_element(group.w.begin(), group.w.end());
  float lo = std::min(*lo_it, 0.f), hi = std::max(*hi_it, 0.f);
  Grid start = grid_from_range(lo, hi, group.scheme);
  Best best(group, start);
  if (best.error() == 0) return start;
  float kept = 1;
  for (int i = 1; i < 80; ++i) {
    float p = 1.f - static_cast<float>(i) / 100.f;
    double before = best.error();
    best.offer(grid_from_range(lo * p, hi * p, group.scheme));
    if (best.error() < before) kept = p;
  }
  if (group.scheme.asymmetric()) {
    float low = kept, high = kept;
    for (int round = 0; round < 2; ++round)
      for (float* end : {&low, &high}) {
        float centre = *end;
        for (int i = -12; i <= 12; ++i) {
          float saved = *end;
          *end = std::max(.05f, centre + static_cast<float>(i) * .02f);
          double before = best.error();
          best.offer(grid_from_range(lo * low, hi * high, group.scheme));
          if (best.error() >= before) *end = saved;
        }
      }
  }
  // The neighbouring integer zero points, which matter at two and three bits.
  Grid centre = best.grid();
  for (int zero : {centre.zero - 1, centre.zero + 1})
    if (group.scheme.asymmetric() && zero >= 0 && zero <= group.scheme.max_code())
      best.offer({centre.scale, zero});
  return group.hessian ? best.least_under(group.hessian, group.hessian_stride) : best.grid();
}

// Calls fit(w, weights, first column) for every group and collects the grids.
template <class Fit>
std::vector<Grid> fit_groups(const FloatMatrix& m, std::span<const float> weights, const Fit& fit) {
  if (m.scheme.group == Scheme::kTensor) {
    std::vector<float> all;  // the weights of a row, repeated for each
    for (int64_t r = 0; r < m.n && !weights.empty(); ++r)
      all.insert(all.end(), weights.begin(), weights.end());
    return {fit(std::span(m.w), std::span<const float>(all), -1)};
  }
  int64_t groups = m.scheme.groups(m.k), size = m.scheme.group_size(m.k);
  std::vector<Grid> out(static_cast<size_t>(m.n * groups));
  parallel_for(ceil_div(m.n, kRowChunk), [&](int64_t chunk) {
    for (int64_t r = chunk * kRowChunk; r < std::min(m.n, (chunk + 1) * kRowChunk); ++r)
      for (int64_t g = 0; g < groups; ++g) {
        auto begin = static_cast<size_t>(g * size);
        auto count = static_cast<size_t>(std::min(size, m.k - g * size));
        auto w = std::span(m.w).subspan(static_cast<size_t>(r * m.k) + begin, count);
        out[static_cast<size_t>(r * groups + g)] =
            fit(w, weights.empty() ? weights : weights.subspan(begin, count), g * size);
      }
  });
  return out;
}

std::vector<Grid> block_grids(const FloatMatrix& m, std::span<const float> weights) {
  const GgmlType& type = *m.scheme.blocks;
  int64_t groups = m.scheme.groups(m.k), of_block = type.block / m.scheme.group;
  std::vector<Grid> out(static_cast<size_t>(m.n * groups));
  parallel_for(ceil_div(m.n, kRowChunk), [&](int64_t chunk) {
    for (int64_t r = chunk * kRowChunk; r < std::min(m.n, (chunk + 1) * kRowChunk); ++r)
      for (int64_t b = 0; b < m.k / type.block; ++b)
        fit_ggml_grids(type, m.w.data() + r * m.k + b * type.block,
                       weights.empty() ? nullptr : weights.data() + b * type.block,
                       std::span(out).subspan(static_cast<size_t>(r * groups + b * of_block),
                                              static_cast<size_t>(of_block)));
  });
  return out;
}

}  // namespace

ErrorMeasure activation_measure(const InputStatistics& statistics) {
  ErrorMeasure out;
  out.weights.resize(static_cast<size_t>(statistics.cols()));
  double mean = 0;
  for (int64_t j = 0; j < statistics.cols(); ++j) mean += statistics.diagonal(j);
  mean /= static_cast<double>(statistics.cols());
  // A channel that calibration never excited still counts a little, so that its weights are kept.
  for (int64_t j = 0; j < statistics.cols(); ++j)
    out.weights[static_cast<size_t>(j)] =
        mean > 0 ? static_cast<float>(statistics.diagonal(j) / mean + 1e-6) : 1.f;
  return out;
}

std::vector<Grid> fit_grids(const FloatMatrix& m,
                            const std::function<Grid(std::span<const float>)>& fit) {
  return fit_groups(
      m, {}, [&](std::span<const float> w, std::span<const float>, int64_t) { return fit(w); });
}

std::vector<Grid> minmax_grids(const FloatMatrix& m) {
  if (m.scheme.blocks) return block_grids(m, {});
  return fit_grids(m, [&](std::span<const float> w) { return fit_minmax(w, m.scheme); });
}

std::vector<Grid> search_grids(const FloatMatrix& m, const ErrorMeasure& measure) {
  if (m.scheme.blocks) return block_grids(m, measure.weights);
  return fit_groups(m, measure.weights,
                    [&](std::span<const float> w, std::span<const float> v, int64_t column) {
                      // A scale for the whole matrix is chosen by the diagonal alone.
                      const float* H = measure.hessian.empty() || column < 0
                                           ? nullptr
                                           : measure.hessian.data() + column * (m.k + 1);
                      return search_group({w, v, measure.power, m.scheme, H, m.k});
                    });
}

std::span<const Grid> row_grids(const Scheme& scheme, std::span<const Grid> grids, int64_t row,
                                int64_t k) {
  if (scheme.group == Scheme::kTensor) return grids.first(1);
  auto groups = static_cast<size_t>(scheme.groups(k));
  return grids.subspan(static_cast<size_t>(row) * groups, groups);
}

QuantizedMatrix round_to_nearest(const FloatMatrix& m, std::span<const Grid> grids) {
  QuantizedBuilder out(m.scheme, m.n, m.k);
  int64_t size = m.scheme.group_size(m.k);
  parallel_for(ceil_div(m.n, kRowChunk), [&](int64_t chunk) {
    std::vector<uint8_t> codes(static_cast<size_t>(m.k));
    for (int64_t r = chunk * kRowChunk; r < std::min(m.n, (chunk + 1) * kRowChunk); ++r) {
      auto row = row_grids(m.scheme, grids, r, m.k);
      for (int64_t j = 0; j < m.k; ++j)
        codes[static_cast<size_t>(j)] = static_cast<uint8_t>(encode(
            m.w[static_cast<size_t>(r * m.k + j)], row[static_cast<size_t>(j / size)], m.scheme));
      out.set_row(r, codes.data(), row);
    }
  });
  return out.finish();
}

}  // namespace nibble
