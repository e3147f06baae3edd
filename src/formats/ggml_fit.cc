#include "formats/ggml_fit.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace nibble {
namespace {

constexpr size_t kMostGroups = 16;

// One group's values, how much each counts, and the form of its grid.
struct Values {
  std::span<const float> x;
  const float* weights;  // null: ones
  const GgmlGrids& form;
  const Scheme& scheme;

  float weight(size_t j) const { return weights ? weights[j] : 1; }
  float lowest() const { return static_cast<float>(end(0, scheme.min_code())); }
  float highest() const { return static_cast<float>(end(15, scheme.max_code())); }
  int end(int level, int code) const { return form.levels ? form.levels[level] : code - form.zero; }
  double error(const Grid& g) const {
    double total = 0;
    for (size_t j = 0; j < x.size(); ++j) {
      float e = decode(encode(x[j], g, scheme), g) - x[j];
      total += static_cast<double>(weight(j)) * e * e;
    }
    return total;
  }
};

// The value of largest magnitude. By both ends, because clang 19 at -O3 gets a loop wrong that
// compares std::abs of two floats (GgmlQuantize.AGroupWithOneLargeValue).
float largest_of(std::span<const float> x) {
  auto [lo, hi] = std::minmax_element(x.begin(), x.end());
  return -*lo > *hi ? *lo : *hi;
}

// What is not yet rounded: (level - zero) * scale - low.
struct Line {
  float scale = 0, low = 0;
};

// Tries scales around the one that puts the largest magnitude on an end, each with its codes' least
// squares; the best is kept.
Line fit_symmetric(const Values& v) {
  float largest = largest_of(v.x);
  if (largest == 0) return {};
  constexpr int kSteps = 9;
  const float step = v.form.levels ? 1 : .1f;  // of the end's level
  float best = -1;
  Line out;
  for (float end : {v.lowest(), v.highest()})
    for (int i = -kSteps; i <= kSteps; ++i) {
      Grid g{.scale = largest / (end + step * static_cast<float>(i)),
             .zero = v.form.zero,
             .levels = v.form.levels};
      float xq = 0, qq = 0;
      for (size_t j = 0; j < v.x.size(); ++j) {
        float q = g.level(encode(v.x[j], g, v.scheme)) - static_cast<float>(g.zero);
        xq += v.weight(j) * v.x[j] * q;
        qq += v.weight(j) * q * q;
      }
      // With the best scale for these codes the error is x'x - (x'q)^2 / q'q.
      if (qq > 0 && xq * xq / qq > best) {
        best = xq * xq / qq;
        out.scale = xq / qq;
      }
    }
  return out;
}

// Codes from 0 on. Two-level types have scales and lows not below 0.
Line fit_affine(const Values& v) {
  bool signs = !v.form.two_levels();
  auto [lo, hi] = std::minmax_element(v.x.begin(), v.x.end());
  float least = signs ? *lo : std::min(*lo, 0.f), span = *hi - least;
  if (span <= 0) return {0, -least};
  constexpr int kSteps = 15;
  double best = HUGE_VAL;
  Line out{0, -least};
  for (int step = -10; step <= kSteps; ++step) {
    Grid g{.scale = span / (v.highest() + 0.1f * static_cast<float>(step)), .low = -least};
    double s1 = 0, sq = 0, sqq = 0, sx = 0, sxq = 0;
    for (size_t j = 0; j < v.x.size(); ++j) {
      double q = encode(v.x[j], g, v.scheme), w = v.weight(j), x = v.x[j];
      s1 += w;
      sq += w * q;
      sqq += w * q * q;
      sx += w * x;
      sxq += w * x * q;
    }
    double determinant = s1 * sqq - sq * sq;
    if (determinant <= 0) continue;
    Line fit{static_cast<float>((s1 * sxq - sx * sq) / determinant),
             static_cast<float>(-(sqq * sx - sq * sxq) / determinant)};
    if (!signs && fit.low < 0) fit = {static_cast<float>(sqq > 0 ? sxq / sqq : 0), 0};
    if (fit.scale <= 0) continue;
    double error = v.error({.scale = fit.scale, .low = fit.low});
    if (error < best) {
      best = error;
      out = fit;
    }
  }
  return out;
}

int nearest_multiple(float value, float base, int least, int most) {
  if (base == 0) return std::clamp(0, least, most);
  float q = std::nearbyintf(value / base);
  auto lo = static_cast<float>(least), hi = static_cast<float>(most);
  return static_cast<int>(q > lo ? q < hi ? q : hi : lo);
}

class BlockFit {
 public:
  BlockFit(const GgmlType& type, const float* x, const float* weights, std::span<Grid> out)
      : form_(*ggml_grids(type)),
        scheme_(Scheme::of_blocks(type)),
        x_(x),
        weights_(weights),
        out_(out) {
    for (size_t g = 0; g < out.size(); ++g) {
      lines_[g] = form_.low ? fit_affine(values(g)) : fit_symmetric(values(g));
      if (std::fabs(lines_[g].scale) > std::fabs(scale_)) scale_ = lines_[g].scale;
      low_ = std::max(low_, lines_[g].low);
    }
  }

  void run() {
    if (!form_.two_levels()) {
      out_[0] = ggml_grid_of(form_, ggml_stored({lines_[0].scale, lines_[0].low}), 1, 1);
      return;
    }
    // The largest multiple's neighbours: coarse multiples fit the other groups now better, now
    // worse.
    double least = HUGE_VAL;
    float end = static_cast<float>(form_.least < 0 ? form_.least : form_.most);
    float low_end = static_cast<float>(form_.most_low);
    for (float step : kSteps) {
      offer(ggml_stored({scale_ / (end * step), form_.low ? low_ / low_end : 0}), least);
    }
    for (float step : kSteps)
      if (form_.low && step != 1) offer(ggml_stored({best_.d, low_ / (low_end * step)}), least);
  }

 private:
  static constexpr float kSteps[] = {1, .96f, .92f, .88f, .84f, .8f, 1.04f, 1.08f};

  Values values(size_t g) const {
    auto size = static_cast<size_t>(form_.group);
    return {{x_ + g * size, size}, weights_ ? weights_ + g * size : nullptr, form_, scheme_};
  }

  void offer(const GgmlBase& base, double& least) {
    std::array<Grid, kMostGroups> grids;
    double error = 0;
    for (size_t g = 0; g < out_.size(); ++g) {
      grids[g] = ggml_grid_of(form_, base,
                              nearest_multiple(lines_[g].scale, base.d, form_.least, form_.most),
                              nearest_multiple(lines_[g].low, base.m, 0, form_.most_low));
      error += values(g).error(grids[g]);
    }
    if (!(error < least) && least != HUGE_VAL) return;
    least = error;
    best_ = base;
    std::copy_n(grids.begin(), out_.size(), out_.begin());
  }

  const GgmlGrids& form_;
  Scheme scheme_;
  const float *x_, *weights_;
  std::span<Grid> out_;
  std::array<Line, kMostGroups> lines_;
  float scale_ = 0, low_ = 0;  // the largest
  GgmlBase best_;
};

}  // namespace

void fit_ggml_grids(const GgmlType& type, const float* x, const float* weights,
                    std::span<Grid> out) {
  BlockFit(type, x, weights, out).run();
}

}  // namespace nibble
