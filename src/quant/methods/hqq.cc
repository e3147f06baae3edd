// HQQ: half-quadratic quantization. Errors are measured by an l_p norm with p < 1, which forgives
// the few large weights that a squared error would stretch the grid for.
// Source: Badri and Shaji, github.com/mobiusml/hqq, core/optimize.py. Unlike there the scale is
// fitted along with the zero point, from clipped ranges too, errors are counted in steps of the
// grid, and the zero point is rounded in the end so that any consumer loads it.
#include <algorithm>
#include <cmath>

#include "quant/grid_search.h"

namespace nibble {
namespace {

constexpr int kSteps = 20;
constexpr float kRanges[] = {1, .85f, .7f, .55f};  // of min-max, to begin with
constexpr float kPower = .7f, kFirstBeta = 10, kBetaGrowth = 1.01f;

// value = scale (code - zero) with a zero that need not be whole.
struct Line {
  float scale, zero;
  float code(float w, const Scheme& s) const {
    return std::clamp(std::nearbyint(w / scale + zero), static_cast<float>(s.min_code()),
                      static_cast<float>(s.max_code()));
  }
};

struct Errors {
  double absolute = 0, squared = 0;  // means
};

Errors errors_of(std::span<const float> w, const Line& line, const Scheme& scheme) {
  Errors out;
  for (float v : w) {
    double e = v - line.scale * (line.code(v, scheme) - line.zero);
    out.absolute += std::fabs(e) / static_cast<double>(w.size());
    out.squared += e * e / static_cast<double>(w.size());
  }
  return out;
}

// The proximal step for |r|^p: what of the error is taken for an outlier's.
float shrink(float r, float beta) {
  float a = std::fabs(r);
  return a > 0 ? std::copysign(std::max(a - std::pow(a, kPower - 1) / beta, 0.f), r) : 0;
}

// The line through (code, w - outlier) with the least squared error; symmetric grids keep zero.
Line refit(std::span<const float> w, const Line& line, float beta, const Scheme& scheme) {
  double n = static_cast<double>(w.size()), q1 = 0, q2 = 0, v1 = 0, qv = 0;
  for (float value : w) {
    float code = line.code(value, scheme);
    double q = scheme.asymmetric() ? code : code - line.zero;
    float r = value / line.scale - (code - line.zero);
    double v = value - line.scale * shrink(r, beta);
    q1 += q;
    q2 += q * q;
    v1 += v;
    qv += q * v;
  }
  if (!scheme.asymmetric()) return q2 > 0 ? Line{static_cast<float>(qv / q2), line.zero} : line;
  double spread = q2 - q1 * q1 / n, slope = (qv - q1 * v1 / n) / spread;
  if (!(spread > 0) || !(slope > 0)) return line;
  return {static_cast<float>(slope), static_cast<float>((q1 - v1 / slope) / n)};
}

Grid whole(const Line& line, const Scheme& scheme) {
  float top = static_cast<float>(scheme.max_code());
  return {round_scale(line.scale, scheme.scale_type),
          scheme.asymmetric() ? static_cast<int>(std::clamp(std::nearbyint(line.zero), 0.f, top))
                              : scheme.symmetric_zero()};
}

// The least absolute error among grids that do not raise min-max's squared one.
Grid fit(std::span<const float> w, const Scheme& scheme) {
  auto [lo, hi] = std::minmax_element(w.begin(), w.end());
  Grid best = fit_minmax(w, scheme);
  auto as_line = [](const Grid& g) { return Line{g.scale, static_cast<float>(g.zero)}; };
  Errors start = errors_of(w, as_line(best), scheme);
  double least = start.absolute;
  if (least == 0) return best;
  for (float share : kRanges) {
    Line line = as_line(grid_from_range(*lo * share, *hi * share, scheme));
    double before = errors_of(w, line, scheme).absolute;
    float beta = kFirstBeta;
    for (int step = 0; step < kSteps; ++step, beta *= kBetaGrowth) {
      Grid grid = whole(line, scheme);
      Errors e = errors_of(w, as_line(grid), scheme);
      if (e.absolute < least && e.squared <= start.squared) {
        least = e.absolute;
        best = grid;
      }
      line = refit(w, line, beta, scheme);
      double now = errors_of(w, line, scheme).absolute;
      if (now >= before) break;
      before = now;
    }
  }
  return best;
}

}  // namespace

extern const Method kMethod_hqq = {
    .name = "hqq",
    .summary = "half-quadratic fit of scales and whole zero points; no calibration",
    .need = InputStatistics::Need::kNothing,
    .quantize = [](std::span<const FloatMatrix> matrices, const InputStatistics*,
                   const MethodOptions&) -> Result<MethodResult> {
      MethodResult out;
      for (const FloatMatrix& m : matrices)
        out.matrices.push_back(round_to_nearest(
            m, fit_grids(m, [&](std::span<const float> w) { return fit(w, m.scheme); })));
      return out;
    }};

}  // namespace nibble
