// One backward pass's operands, so that each half of a block reads like its forward pass.
#pragma once

#include "train/block_backward.h"
#include "train/ops.h"

namespace nibble {

inline float* data_or_null(std::vector<float>& v) { return v.empty() ? nullptr : v.data(); }

struct BackwardPass {
  const DecoderConfig& c;
  const Block& block;
  const BlockMatrices& weights;
  const BlockTape& tape;
  BlockGradient& gradient;
  int64_t rows;

  const std::vector<float>& input(Stage stage) const { return tape.x[static_cast<size_t>(stage)]; }
  // dy: (rows of x, n), row stride ldy.
  LinearGradient linear(Role role, const float* x, const float* dy, int64_t n, int64_t ldy,
                        int64_t expert = -1) const {
    size_t slot = linear_slot(role, expert);
    std::span<const float> w = weights.linears[slot];
    return {dy,
            ldy,
            n,
            static_cast<int64_t>(w.size()) / n,
            w.data(),
            x,
            data_or_null(gradient.w[slot]),
            data_or_null(gradient.bias[slot])};
  }
  LinearGradient linear(Role role, Stage stage, const float* dy, int64_t n, int64_t ldy) const {
    return linear(role, input(stage).data(), dy, n, ldy);
  }
  // dx (count, k) of linears that read the same rows, and their dL/dW.
  static void run(const std::vector<LinearGradient>& linears, int64_t count,
                  std::vector<float>& dx) {
    dx.resize(static_cast<size_t>(count * linears[0].k));
    std::vector<Pieces> jobs;
    jobs.push_back(input_gradient(linears, count, dx.data()));
    for (const LinearGradient& l : linears) jobs.push_back(weight_gradient(l, count));
    run_pieces(jobs);
  }
  void run(const std::vector<LinearGradient>& linears, std::vector<float>& dx) const {
    run(linears, rows, dx);
  }
  // dx += what the norm at `place`, or none, gives back of dy. x: what entered it.
  void norm(NormPlace place, const std::vector<float>& x, const std::vector<float>& dy,
            std::vector<float>& dx) const {
    if (const Norm& norm = block.norm(place))
      norm_backward(c, x.data(), norm.weight, dy.data(), rows, dx.data(),
                    data_or_null(gradient.of(place)), data_or_null(gradient.bias_of(place)));
    else
      for (size_t i = 0; i < dx.size(); ++i) dx[i] += dy[i];
  }
  // dL/d of what the linear of `role` gave, whose norms stand at `out` and, behind the sum, at
  // `after`. dh: dL/d of the stream behind all of them becomes dL/d of `base`, to which was added.
  const float* branch(Role role, NormPlace out, NormPlace after, const std::vector<float>& base,
                      std::vector<float>& dh, BackwardScratch& s) const;
};

// s.dx: dL/d of a mixture of experts' input, from dL/d of its output, (rows, hidden).
void experts_backward(const BackwardPass& pass, const float* dy, BackwardScratch& s);

}  // namespace nibble
