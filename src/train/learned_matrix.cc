#include "train/learned_matrix.h"

#include <algorithm>
#include <cmath>

#include "base/checked.h"
#include "base/threads.h"

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
      u_(static_cast<size_t>(n_ * k_)),
      first_scale_(static_cast<size_t>(n_ * groups_)),
      ratio_(first_scale_.size(), 1.f),
      zeros_(first_scale_.size()),
      u_steps_(u_.size()),
      ratio_steps_(ratio_.size()) {
  for_rows(n_, [&](int64_t r) {
    std::vector<uint8_t> codes(static_cast<size_t>(k_));
    q.codes(r, codes.data());
    for (int64_t g = 0; g < groups_; ++g) {
      Grid grid = q.grid(r, g);
      auto at = static_cast<size_t>(r * groups_ + g);
      first_scale_[at] = grid.scale;
      zeros_[at] = static_cast<uint8_t>(grid.zero);
      for (int64_t j = g * group_; j < std::min(k_, (g + 1) * group_); ++j) {
        float code = codes[static_cast<size_t>(j)];
        float stands = w[r * k_ + j] / grid.scale + static_cast<float>(grid.zero);
        u_[static_cast<size_t>(r * k_ + j)] = code + std::clamp(stands - code, -kInside, kInside);
      }
    }
  });
}

float LearnedMatrix::scale(int64_t row, int64_t group) const {
  auto at = static_cast<size_t>(row * groups_ + group);
  return round_scale(first_scale_[at] * ratio_[at], scheme_.scale_type);
}

void LearnedMatrix::values(float* w) const {
  auto lo = static_cast<float>(scheme_.min_code()), hi = static_cast<float>(scheme_.max_code());
  for_rows(n_, [&](int64_t r) {
    for (int64_t g = 0; g < groups_; ++g) {
      float s = scale(r, g), z = zeros_[static_cast<size_t>(r * groups_ + g)];
      for (int64_t i = r * k_ + g * group_; i < r * k_ + std::min(k_, (g + 1) * group_); ++i)
        w[i] = (round(std::clamp(u_[static_cast<size_t>(i)], lo, hi)) - z) * s;
    }
  });
}

void LearnedMatrix::learn(const float* dw, const AdamStep& codes, const AdamStep& scales) {
  auto lo = static_cast<float>(scheme_.min_code()), hi = static_cast<float>(scheme_.max_code());
  for_rows(n_, [&](int64_t r) {
    thread_local std::vector<float> du, dratio;
    du.resize(static_cast<size_t>(k_));
    dratio.assign(static_cast<size_t>(groups_), 0.f);
    for (int64_t g = 0; g < groups_; ++g) {
      auto at = static_cast<size_t>(r * groups_ + g);
      float s = scale(r, g), z = zeros_[at], total = 0;
      for (int64_t j = g * group_; j < std::min(k_, (g + 1) * group_); ++j) {
        float u = u_[static_cast<size_t>(r * k_ + j)], d = dw[r * k_ + j];
        du[static_cast<size_t>(j)] = u >= lo && u <= hi ? d * s : 0.f;
        total += d * (round(std::clamp(u, lo, hi)) - z);
      }
      dratio[static_cast<size_t>(g)] = total * first_scale_[at];
    }
    auto row = static_cast<size_t>(r * k_), group = static_cast<size_t>(r * groups_);
    u_steps_.step(codes, row, du.size(), du.data(), u_.data() + row);
    if (scales.rate > 0 && scheme_.group != Scheme::kTensor)
      ratio_steps_.step(scales, group, dratio.size(), dratio.data(), ratio_.data() + group);
  });
}

QuantizedMatrix LearnedMatrix::finish() const {
  QuantizedBuilder out(scheme_, n_, k_);
  auto lo = static_cast<float>(scheme_.min_code()), hi = static_cast<float>(scheme_.max_code());
  for_rows(n_, [&](int64_t r) {
    std::vector<uint8_t> codes(static_cast<size_t>(k_));
    for (int64_t j = 0; j < k_; ++j)
      codes[static_cast<size_t>(j)] =
          static_cast<uint8_t>(round(std::clamp(u_[static_cast<size_t>(r * k_ + j)], lo, hi)));
    std::vector<Grid> grids;
    for (int64_t g = 0; g < groups_; ++g)
      grids.push_back({scale(r, g), zeros_[static_cast<size_t>(r * groups_ + g)]});
    out.set_row(r, codes.data(), grids);
  });
  return out.finish();
}

}  // namespace nibble
