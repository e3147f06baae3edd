#include "train/learned_matrix.h"

#include <algorithm>
#include <cmath>

#include "base/checked.h"
#include "base/threads.h"
#include "tensor/ggml_grids.h"

namespace nibble {
namespace {

constexpr int64_t kRowChunk = 16;
// How far into its first code a latent one starts at most: 1/2 is the border to the next.
constexpr float kInside = .49f;
// Of Adam's two means; the second is shorter than its authors' .999, since a run has some hundred
// steps.
constexpr float kBeta1 = .9f, kBeta2 = .99f;

// To the nearest whole number, ties to even, of |x| < 2^22: adding and taking off 1.5 x 2^23 leaves
// the processor's own rounding, and the loop becomes vectors.
float round(float x) { return (x + 12582912.f) - 12582912.f; }

// Where a value stands among the codes: on levels, between `code` and its neighbour on that side.
float position(float w, int code, const Grid& g) {
  if (g.scale == 0) return static_cast<float>(code);
  float x = (w + g.low) / g.scale;
  if (!g.levels) return x + static_cast<float>(g.zero);
  int side = x < g.level(code) ? std::max(code - 1, 0) : std::min(code + 1, 15);
  float gap = std::fabs(g.level(side) - g.level(code));
  return static_cast<float>(code) + (gap > 0 ? (x - g.level(code)) / gap : 0);
}

// Levels a code around `code`.
float slope(int code, const Grid& g) {
  int before = std::max(code - 1, 0), behind = std::min(code + 1, 15);
  return (g.level(behind) - g.level(before)) / static_cast<float>(behind - before);
}

template <class Body>
void for_rows(int64_t rows, const Body& body) {
  parallel_for(ceil_div(rows, kRowChunk), [&](int64_t chunk) {
    for (int64_t r = chunk * kRowChunk; r < std::min(rows, (chunk + 1) * kRowChunk); ++r) body(r);
  });
}

}  // namespace

void Adam::step(const AdamStep& s, size_t begin, size_t count, const float* gradient, float* x) {
  float *m = m_.data() + begin, *v = v_.data() + begin;
  auto number = static_cast<double>(s.number);
  auto rate = static_cast<float>(s.rate / (1 - std::pow(kBeta1, number)));
  auto correction = static_cast<float>(1 / (1 - std::pow(kBeta2, number)));
  for (size_t i = 0; i < count; ++i) {
    m[i] = kBeta1 * m[i] + (1 - kBeta1) * gradient[i];
    v[i] = kBeta2 * v[i] + (1 - kBeta2) * gradient[i] * gradient[i];
    x[i] -= rate * m[i] / (std::sqrt(v[i] * correction) + 1e-20f);
  }
}

LearnedMatrix::LearnedMatrix(const QuantizedMatrix& q, const float* w)
    : scheme_(q.scheme()),
      n_(q.rows()),
      k_(q.cols()),
      group_(q.group_size()),
      groups_(scheme_.group == Scheme::kTensor ? 1 : q.groups()),
      span_(scheme_.blocks ? scheme_.blocks->block / group_ : 1),
      bases_(groups_ / span_),
      kinds_(scheme_.blocks && ggml_grids(*scheme_.blocks)->low ? 2 : 1),
      u_(static_cast<size_t>(n_ * k_)),
      first_(static_cast<size_t>(n_ * groups_)),
      ratio_(static_cast<size_t>(n_ * bases_ * kinds_), 1.f),
      u_steps_(u_.size()),
      ratio_steps_(ratio_.size()) {
  for_rows(n_, [&](int64_t r) {
    std::vector<uint8_t> codes(static_cast<size_t>(k_));
    q.codes(r, codes.data());
    for (int64_t g = 0; g < groups_; ++g) {
      Grid grid = q.grid(r, g);
      first_[static_cast<size_t>(r * groups_ + g)] = grid;
      for (auto [j, end] = columns(g); j < end; ++j) {
        int code = codes[static_cast<size_t>(j)];
        float beside = position(w[r * k_ + j], code, grid) - static_cast<float>(code);
        u_[static_cast<size_t>(r * k_ + j)] =
            static_cast<float>(code) + std::clamp(beside, -kInside, kInside);
      }
    }
  });
}

std::pair<int64_t, int64_t> LearnedMatrix::columns(int64_t g) const {
  return {g * group_, std::min(k_, (g + 1) * group_)};
}

int LearnedMatrix::code(int64_t i) const {
  auto lo = static_cast<float>(scheme_.min_code()), hi = static_cast<float>(scheme_.max_code());
  return static_cast<int>(round(std::clamp(u_[static_cast<size_t>(i)], lo, hi)));
}

std::vector<Grid> LearnedMatrix::grids(int64_t row) const {
  auto first = first_.begin() + row * groups_;
  std::vector<Grid> out(first, first + groups_);
  const float* ratio = ratio_.data() + row * bases_ * kinds_;
  for (int64_t b = 0; b < bases_; ++b, ratio += kinds_) {
    auto grids = std::span(out).subspan(static_cast<size_t>(b * span_), static_cast<size_t>(span_));
    if (!scheme_.blocks) {
      grids[0].scale = round_scale(grids[0].scale * ratio[0], scheme_.scale_type);
      continue;
    }
    const GgmlGrids& form = *ggml_grids(*scheme_.blocks);
    GgmlBase base = ggml_base(grids);
    base = ggml_stored({base.d * ratio[0], kinds_ > 1 ? base.m * ratio[1] : 0});
    for (Grid& g : grids) g = ggml_grid_of(form, base, g.multiple, g.low_multiple);
  }
  return out;
}

void LearnedMatrix::values(float* w) const {
  auto lo = static_cast<float>(scheme_.min_code()), hi = static_cast<float>(scheme_.max_code());
  for_rows(n_, [&](int64_t r) {
    std::vector<Grid> grids = this->grids(r);
    for (int64_t g = 0; g < groups_; ++g) {
      const Grid& grid = grids[static_cast<size_t>(g)];
      float s = grid.scale, z = static_cast<float>(grid.zero), low = grid.low;
      auto [j, end] = columns(g);
      if (grid.levels)
        for (int64_t i = r * k_ + j; i < r * k_ + end; ++i) w[i] = decode(code(i), grid);
      else
        for (int64_t i = r * k_ + j; i < r * k_ + end; ++i)
          w[i] = (round(std::clamp(u_[static_cast<size_t>(i)], lo, hi)) - z) * s - low;
    }
  });
}

void LearnedMatrix::learn(const float* dw, const AdamStep& codes, const AdamStep& scales) {
  auto lo = static_cast<float>(scheme_.min_code()), hi = static_cast<float>(scheme_.max_code());
  for_rows(n_, [&](int64_t r) {
    thread_local std::vector<float> du, dratio;
    du.resize(static_cast<size_t>(k_));
    dratio.assign(static_cast<size_t>(bases_ * kinds_), 0.f);
    std::vector<Grid> grids = this->grids(r);
    for (int64_t g = 0; g < groups_; ++g) {
      const Grid& grid = grids[static_cast<size_t>(g)];
      const Grid& first = first_[static_cast<size_t>(r * groups_ + g)];
      float z = static_cast<float>(grid.zero), total = 0, plain = 0;
      for (auto [j, end] = columns(g); j < end; ++j) {
        float u = u_[static_cast<size_t>(r * k_ + j)], d = dw[r * k_ + j];
        float level = round(std::clamp(u, lo, hi)), step = grid.scale;
        if (grid.levels) {
          step *= slope(static_cast<int>(level), grid);
          level = grid.level(static_cast<int>(level));
        }
        du[static_cast<size_t>(j)] = u >= lo && u <= hi ? d * step : 0.f;
        total += d * (level - z);
        plain += d;
      }
      float* at = dratio.data() + g / span_ * kinds_;
      at[0] += total * first.scale;
      if (kinds_ > 1) at[1] -= plain * first.low;
    }
    auto row = static_cast<size_t>(r * k_), base = static_cast<size_t>(r * bases_ * kinds_);
    u_steps_.step(codes, row, du.size(), du.data(), u_.data() + row);
    if (scales.rate > 0 && scheme_.group != Scheme::kTensor)
      ratio_steps_.step(scales, base, dratio.size(), dratio.data(), ratio_.data() + base);
  });
}

QuantizedMatrix LearnedMatrix::finish() const {
  QuantizedBuilder out(scheme_, n_, k_);
  for_rows(n_, [&](int64_t r) {
    std::vector<uint8_t> codes(static_cast<size_t>(k_));
    for (int64_t j = 0; j < k_; ++j)
      codes[static_cast<size_t>(j)] = static_cast<uint8_t>(code(r * k_ + j));
    out.set_row(r, codes.data(), grids(r));
  });
  return out.finish();
}

}  // namespace nibble
