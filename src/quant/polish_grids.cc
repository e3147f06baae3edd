// PolishRows::search_grids: a group's grid and codes change together.
#include <algorithm>
#include <cmath>

#include "quant/polish.h"

namespace nibble {
namespace {

constexpr int64_t kWidest = 1024;  // columns of a group; a trial costs their square
constexpr int kSteps = 6, kStepsBeside = 2;
constexpr float kStep = .02f;  // a scale's change from trial to trial, relative
constexpr int kSweeps = 2;

}  // namespace

// One group of one row. Everything is relative to its values and gradient as they stand.
struct PolishRows::GroupTrial {
  const float* H = nullptr;  // the group's block of H, stride k
  int64_t stride = 0, count = 0;
  const float *values = nullptr, *gradient = nullptr;  // (count)
  std::vector<float> x, g, best_x;
  std::vector<uint8_t> codes, best_codes;
  Grid best;
  double least = 0;  // what the best found changes the row's error by

  void move(int64_t i, float d) {
    x[static_cast<size_t>(i)] += d;
    const float* h = H + i * stride;
    for (int64_t c = 0; c < count; ++c) g[static_cast<size_t>(c)] += d * h[c];
  }

  bool sweep(const Grid& grid, const Scheme& scheme) {
    bool any = false;
    for (int64_t i = 0; i < count; ++i) {
      float h = H[i * stride + i], slope = g[static_cast<size_t>(i)];
      if (!(h > 0)) continue;
      float& value = x[static_cast<size_t>(i)];
      int wanted = encode(value - slope / h, grid, scheme);
      float d = decode(wanted, grid) - value;
      if (wanted == codes[static_cast<size_t>(i)] || d * (2 * slope + d * h) >= 0) continue;
      codes[static_cast<size_t>(i)] = static_cast<uint8_t>(wanted);
      move(i, d);
      value = decode(wanted, grid);
      any = true;
    }
    return any;
  }

  // Rounds the present values to `grid`, descends, and keeps the outcome if it is the best so far.
  void offer(const Grid& grid, const Scheme& scheme) {
    x.assign(values, values + count);
    g.assign(gradient, gradient + count);
    codes.resize(x.size());
    for (int64_t i = 0; i < count; ++i) {
      int code = encode(values[i], grid, scheme);
      codes[static_cast<size_t>(i)] = static_cast<uint8_t>(code);
      if (float d = decode(code, grid) - values[i]; d != 0) move(i, d);
      x[static_cast<size_t>(i)] = decode(code, grid);
    }
    for (int s = 0; s < kSweeps; ++s)
      if (!sweep(grid, scheme)) break;
    double change = 0;  // (x - v)' (2 H e + H (x - v))
    for (int64_t i = 0; i < count; ++i)
      change += (static_cast<double>(x[static_cast<size_t>(i)]) - values[i]) *
                (static_cast<double>(gradient[i]) + g[static_cast<size_t>(i)]);
    if (change >= least) return;
    least = change;
    best = grid;
    best_x = x;
    best_codes = codes;
  }
};

int64_t PolishRows::search_grids() {
  if (size_ > kWidest || m_.scheme.group == Scheme::kTensor) return 0;
  int64_t changed = 0;
  std::vector<float> change(static_cast<size_t>(rows_ * size_));
  GroupTrial trial;
  for (int64_t g = 0; g < groups_; ++g) {
    int64_t before = changed;
    std::fill(change.begin(), change.end(), 0.f);
    for (int64_t r = 0; r < rows_; ++r)
      changed += search_group(r, g, trial, change.data() + r * size_);
    if (changed != before)
      add_to_gradient(change, size_, g * size_, std::min(size_, k_ - g * size_));
  }
  return changed;
}

void PolishRows::offer_plain(const Grid& own, GroupTrial& trial) const {
  for (int z : {-1, 0, 1})
    for (int i = -kSteps; i <= kSteps; ++i) {
      Grid grid = {
          round_scale(own.scale * (1 + static_cast<float>(i) * kStep), m_.scheme.scale_type),
          own.zero + z};
      bool beside = z != 0 && (!m_.scheme.asymmetric() || std::abs(i) > kStepsBeside ||
                               grid.zero < 0 || grid.zero > m_.scheme.max_code());
      if (beside || (z == 0 && i == 0)) continue;
      if (std::isfinite(grid.scale)) trial.offer(grid, m_.scheme);
    }
}

// Multiples up to an eighth away, and the low ones beside the present one.
void PolishRows::offer_multiples(const Grid& own, const GgmlBase& base, GroupTrial& trial) const {
  const GgmlGrids& form = *ggml_grids(*m_.scheme.blocks);
  int step = std::max(1, static_cast<int>(std::lround(std::abs(own.multiple) * kStep)));
  int most = std::max(1, static_cast<int>(std::lround(std::abs(own.multiple) * kStep * kSteps)));
  for (int l : {0, -1, 1, -2, 2})
    for (int i = -most; i <= most; i += step) {
      int multiple = own.multiple + i, low = own.low_multiple + l;
      bool there =
          multiple >= form.least && multiple <= form.most && low >= 0 &&
          (l == 0 || (form.low && low <= form.most_low && std::abs(i) <= step * kStepsBeside));
      if (there && (i != 0 || l != 0))
        trial.offer(ggml_grid_of(form, base, multiple, low), m_.scheme);
    }
}

// A block that is one group: float16 numbers around its own.
void PolishRows::offer_blocks_own(const Grid& own, GroupTrial& trial) const {
  const GgmlGrids& form = *ggml_grids(*m_.scheme.blocks);
  for (int l : {0, -1, 1, -2, 2})
    for (int i = -kSteps; i <= kSteps; ++i) {
      if ((l == 0 && i == 0) || (l != 0 && (!form.low || std::abs(i) > kStepsBeside))) continue;
      float low = own.low + .25f * static_cast<float>(l) * own.scale;
      GgmlBase base = ggml_stored({own.scale * (1 + static_cast<float>(i) * kStep), low});
      if (std::isfinite(base.d) && std::isfinite(base.m))
        trial.offer(ggml_grid_of(form, base, 1, 1), m_.scheme);
    }
}

bool PolishRows::search_group(int64_t r, int64_t g, GroupTrial& trial, float* change) {
  int64_t begin = g * size_, at = r * k_ + begin;
  trial.H = H_.data() + begin * (k_ + 1);
  trial.stride = k_;
  trial.count = std::min(size_, k_ - begin);
  trial.values = values_.data() + at;
  trial.gradient = gradient_.data() + at;
  trial.least = 0;
  Grid& own = grids_[static_cast<size_t>(r * groups_ + g)];
  if (!m_.scheme.blocks)
    offer_plain(own, trial);
  else if (ggml_grids(*m_.scheme.blocks)->two_levels())
    offer_multiples(own, ggml_base(base_grids(r, begin / span_)), trial);
  else
    offer_blocks_own(own, trial);
  if (trial.least >= 0) return false;
  own = trial.best;
  for (int64_t i = 0; i < trial.count; ++i) {
    float& value = values_[static_cast<size_t>(at + i)];
    change[i] = trial.best_x[static_cast<size_t>(i)] - value;
    value = trial.best_x[static_cast<size_t>(i)];
    codes_[static_cast<size_t>(at + i)] = trial.best_codes[static_cast<size_t>(i)];
  }
  return true;
}

}  // namespace nibble
