#include "model/rounded_linear.h"

#include <algorithm>
#include <cmath>

#include "base/threads.h"

namespace nibble {
namespace {

constexpr float kTop = 127;

void round_block(const float* x, int64_t count, float given, float* out) {
  float largest = 0;
  for (int64_t i = 0; i < count; ++i) {
    float size = std::fabs(x[i]);
    if (size > largest) largest = size;  // never by what is not a number
  }
  float scale = given > 0 ? given : largest / kTop;
  if (!(scale > 0)) scale = 1;
  for (int64_t i = 0; i < count; ++i) {
    float code = std::nearbyintf(x[i] / scale);
    out[i] = scale * (code > -kTop ? code < kTop ? code : kTop : -kTop);
  }
}

// Another linear behind rounded inputs.
class Around : public Linear {
 public:
  explicit Around(std::unique_ptr<Linear> linear) : linear_(std::move(linear)) {}
  int64_t rows() const override { return linear_->rows(); }
  int64_t cols() const override { return linear_->cols(); }
  Arithmetic arithmetic() const override { return Arithmetic::kRoundedInput; }
  int64_t read_bytes() const override { return linear_->read_bytes(); }

 protected:
  std::unique_ptr<Linear> linear_;
};

class RoundedLinear final : public Around {
 public:
  RoundedLinear(std::unique_ptr<Linear> linear, InputRule rule, int64_t block)
      : Around(std::move(linear)), rule_(rule), block_(block) {}
  Pieces pieces(LinearInput& x, float* y, int64_t ldy, Epilogue epilogue) const override {
    return linear_->pieces(x.rounded(rule_, block_), y, ldy, std::move(epilogue));
  }

 private:
  InputRule rule_;
  int64_t block_;
};

class GridLinear final : public Around {
 public:
  GridLinear(std::unique_ptr<Linear> linear, const LinearGrids& grids)
      : Around(std::move(linear)), grids_(grids) {}
  Pieces pieces(LinearInput& x, float* y, int64_t ldy, Epilogue epilogue) const override {
    auto round = [=, this, rows = x.rows](int64_t first, int64_t last) {
      for (int64_t r = 0; r < rows; ++r) {
        float* at = y + r * ldy + first;
        round_to_grid(at, last - first, grids_.output, at);
      }
    };
    return linear_->pieces(x.on_grid(grids_.input), y, ldy,
                           followed_by(std::move(round), std::move(epilogue)));
  }

 private:
  LinearGrids grids_;
};

}  // namespace

void round_to_grid(const float* x, int64_t count, const Grid& grid, float* out) {
  constexpr float kMostCode = 255;
  auto zero = static_cast<float>(grid.zero);
  for (int64_t i = 0; i < count; ++i) {
    float code = std::nearbyintf(x[i] / grid.scale) + zero;
    out[i] = ((code > 0 ? code < kMostCode ? code : kMostCode : 0) - zero) * grid.scale;
  }
}

std::vector<float> round_rows(const float* x, int64_t rows, int64_t k, const InputRule& rule,
                              int64_t block) {
  std::vector<float> out(static_cast<size_t>(rows * k));
  int64_t width = rule.mode == Activations::kInt8Token ? k : block;
  float given = rule.mode == Activations::kInt8Static ? rule.scale : 0;
  parallel_for(rows, [&](int64_t r) {
    for (int64_t j = 0; j < k; j += width)
      round_block(x + r * k + j, std::min(width, k - j), given, out.data() + r * k + j);
  });
  return out;
}

std::unique_ptr<Linear> make_rounded_linear(std::unique_ptr<Linear> linear, InputRule rule,
                                            int64_t block) {
  return std::make_unique<RoundedLinear>(std::move(linear), rule, block);
}

std::unique_ptr<Linear> make_grid_linear(std::unique_ptr<Linear> linear, const LinearGrids& grids) {
  return std::make_unique<GridLinear>(std::move(linear), grids);
}

}  // namespace nibble
