// Lowers a layer's error after rounding, by coordinate descent: over single codes, over all scales
// of a row at once, over a group's grid together with its codes. No step raises any row's error.
// Sources: QuantEase (arXiv 2309.01885) for codes; scales as in LNQ of GuidedQuant (2505.07004).
#pragma once

#include <span>
#include <vector>

#include "quant/methods/method.h"
#include "tensor/ggml_grids.h"

namespace nibble {

// Some rows of a matrix while they are polished. A row's error is e' H e, e = its values less the
// weights; its gradient H e is kept up to date through every change, so that a change of one code
// costs k, not k^2.
class PolishRows {
 public:
  // Rows [r0, r1) of `q`, which stands for `m`. H: (k, k) symmetric float32, outlives this.
  PolishRows(const FloatMatrix& m, const QuantizedMatrix& q, std::span<const float> H, int64_t r0,
             int64_t r1);

  // Moves every code once to where the row's error is least, the others fixed. -> how many moved.
  int64_t sweep_codes();
  // Solves for all scales of each row together (of ggml's blocks: for every d and m, multiples
  // fixed), codes fixed, and rounds them to the scale type; rows where that did not help keep
  // theirs. -> how many rows changed. Does nothing where a row has too many to solve for
  // (search_grids serves those) or does not own its scale.
  int64_t refit_scales();
  // Tries scales and zero points (multiples of d and m) around each group's own, each with the
  // group's codes descended anew, other groups fixed. -> how many groups changed. Leaves very wide
  // groups as they are.
  int64_t search_grids();

  double error(int64_t row) const;  // `row` counts from r0
  void store(QuantizedBuilder& out) const;

 private:
  struct GroupTrial;
  const Grid& grid_of(int64_t r, int64_t j) const {
    return grids_[static_cast<size_t>(r * groups_ + j / size_)];
  }
  void compute_gradient();
  // Gradient of a change of `count` columns from `begin`. change: (rows, ld).
  void add_to_gradient(const std::vector<float>& change, int64_t ld, int64_t begin, int64_t count);
  int64_t sweep_panel(int64_t r, int64_t begin, int64_t count, float* change);
  std::span<Grid> base_grids(int64_t r, int64_t b);
  std::vector<float> column_factors(int kind) const;
  bool solve_scales(std::span<double> normal, std::span<double> right, int64_t r);
  bool set_scales(std::span<const double> change, int64_t r);
  void offer_plain(const Grid& own, GroupTrial& trial) const;
  void offer_multiples(const Grid& own, const GgmlBase& base, GroupTrial& trial) const;
  void offer_blocks_own(const Grid& own, GroupTrial& trial) const;
  bool search_group(int64_t r, int64_t g, GroupTrial& trial, float* change);

  const FloatMatrix& m_;
  std::span<const float> H_;
  int64_t r0_, rows_, k_, size_, groups_;
  // Numbers that scales are solved for: kinds_ of each of bases_ runs of span_ columns, a group's
  // scale or the d and m of a block.
  int64_t span_, bases_;
  int kinds_;
  std::vector<float> values_, gradient_;  // (rows, k)
  std::vector<uint8_t> codes_;            // (rows, k)
  std::vector<Grid> grids_;               // (rows, groups)
};

// What polish measures errors with: H / mean(diag H), its diagonal raised by `damping`. (k, k).
std::vector<float> damped_hessian(const InputStatistics& statistics, double damping);

// `start` with every row polished. H: see damped_hessian. Parallel over rows.
QuantizedMatrix polish(const FloatMatrix& m, const QuantizedMatrix& start,
                       std::span<const float> H);

}  // namespace nibble
