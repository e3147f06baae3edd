#include "train/block_backward.h"

#include "train/ops.h"

namespace nibble {
namespace {

// One call's operands, so that each half of the block reads like its forward pass.
struct Pass {
  const DecoderConfig& c;
  const BlockMatrices& weights;
  const BlockTape& tape;
  BlockGradient& gradient;
  int64_t rows;

  // From dL/dy of a linear: dL/dx into dx (set or added to), and its dL/dW.
  void linear(Role role, Stage stage, const float* dy, int64_t n, int64_t ldy, bool add,
              std::vector<float>& dx) const {
    std::span<const float> w = weights[static_cast<size_t>(role)];
    auto k = static_cast<int64_t>(w.size()) / n;
    dx.resize(static_cast<size_t>(rows * k));
    input_gradient(dy, rows, ldy, w.data(), n, k, add, dx.data());
    if (std::vector<float>& dw = gradient.of(role); !dw.empty())
      weight_gradient(dy, rows, ldy, tape.x[static_cast<size_t>(stage)].data(), n, k, dw.data());
  }
  void norm(const std::vector<float>& x, const std::vector<float>& weight,
            const std::vector<float>& dy, std::vector<float>& dx,
            std::vector<float>& dweight) const {
    rms_norm_backward(x.data(), weight, c.norm_eps, dy.data(), rows, dx.data(),
                      dweight.empty() ? nullptr : dweight.data());
  }
};

}  // namespace

void block_backward(const DecoderConfig& c, const Block& block, const BlockMatrices& weights,
                    const Rope& rope, std::span<const Slice> slices, const BlockTape& tape,
                    std::vector<float>& dh, BlockGradient& gradient) {
  int64_t rows = static_cast<int64_t>(dh.size()) / c.hidden;
  Pass pass{c, weights, tape, gradient, rows};
  std::vector<float> dact, dgate(tape.gate.size()), dx, dout;
  pass.linear(Role::kDown, Stage::kDown, dh.data(), c.hidden, c.hidden, false, dact);
  silu_times_backward(tape.gate.data(), tape.up.data(), rows * c.mlp, dact.data(), dgate.data());
  pass.linear(Role::kUp, Stage::kGateUp, dact.data(), c.mlp, c.mlp, false, dx);
  pass.linear(Role::kGate, Stage::kGateUp, dgate.data(), c.mlp, c.mlp, true, dx);
  pass.norm(tape.middle, block.mlp_norm, dx, dh, gradient.mlp_norm);

  int64_t qd = c.q_dim(), kd = c.kv_dim();
  pass.linear(Role::kO, Stage::kOut, dh.data(), c.hidden, c.hidden, false, dout);
  std::vector<float> dq(tape.q.size()), dkv(tape.kv.size());
  bool norms = !gradient.query_norm.empty();
  attention_backward(c, block, rope, slices, tape, dout.data(), dq.data(), dkv.data(),
                     norms ? gradient.query_norm.data() : nullptr,
                     norms ? gradient.key_norm.data() : nullptr);
  pass.linear(Role::kQ, Stage::kQkv, dq.data(), qd, qd, false, dx);
  pass.linear(Role::kK, Stage::kQkv, dkv.data(), kd, 2 * kd, true, dx);
  pass.linear(Role::kV, Stage::kQkv, dkv.data() + kd, kd, 2 * kd, true, dx);
  pass.norm(tape.h, block.attention_norm, dx, dh, gradient.attention_norm);
}

}  // namespace nibble
