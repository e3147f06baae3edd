#include "tensor/grid.h"

#include <algorithm>

namespace nibble {

int nearest_level(float x, const int8_t* levels) {
  int code = 0;
  for (int i = 0; i < 15; ++i)
    code += 2 * x > static_cast<float>(levels[i]) + static_cast<float>(levels[i + 1]);
  return code;
}

float round_scale(float scale, DType type) {
  float out = scale;
  float tiny = 0x1p-126f;
  if (type == DType::kF16) {
    out = f16_to_float(float_to_f16(scale));
    tiny = 0x1p-24f;
  } else if (type == DType::kBF16) {
    out = bf16_to_float(float_to_bf16(scale));
  }
  return std::fabs(out) >= tiny || std::isnan(out) ? out : tiny;
}

Grid grid_from_range(float lo, float hi, const Scheme& scheme) {
  lo = std::min(lo, 0.f);
  hi = std::max(hi, 0.f);
  float top = static_cast<float>(scheme.levels() - 1);
  Grid g;
  g.zero = scheme.symmetric_zero();
  float absmax = std::max(-lo, hi);
  switch (scheme.symmetry) {
    case Symmetry::kSymmetric:
      // Halving first keeps 2 absmax finite.
      g.scale = scheme.bits == 8 ? absmax / 127.f : absmax / (top / 2);
      break;
    case Symmetry::kFullRange:
      g.scale = (-lo > hi ? -lo : -hi) / static_cast<float>(g.zero);
      break;
    case Symmetry::kAsymmetric:
      g.scale = hi / top - lo / top;
      break;
  }
  g.scale = round_scale(g.scale, scheme.scale_type);
  if (scheme.asymmetric())
    g.zero = static_cast<int>(std::clamp(std::nearbyintf(-lo / g.scale), 0.f, top));
  return g;
}

Grid fit_minmax(std::span<const float> w, const Scheme& scheme) {
  float lo = 0, hi = 0;
  for (float v : w) {
    lo = std::min(lo, v);
    hi = std::max(hi, v);
  }
  return grid_from_range(lo, hi, scheme);
}

}  // namespace nibble
