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

  LinearGradient linear(Role role, Stage stage, const float* dy, int64_t n, int64_t ldy) const {
    std::span<const float> w = weights[static_cast<size_t>(role)];
    std::vector<float>& dw = gradient.of(role);
    return {dy,
            ldy,
            n,
            static_cast<int64_t>(w.size()) / n,
            w.data(),
            tape.x[static_cast<size_t>(stage)].data(),
            dw.empty() ? nullptr : dw.data()};
  }
  // dx (rows, k) of the linears of a stage, and their dL/dW.
  void run(std::initializer_list<LinearGradient> linears, std::vector<float>& dx) const {
    dx.resize(static_cast<size_t>(rows * linears.begin()->k));
    std::vector<Pieces> jobs = {input_gradient(linears, rows, dx.data())};
    for (const LinearGradient& l : linears) jobs.push_back(weight_gradient(l, rows));
    run_pieces(jobs);
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
                    std::vector<float>& dh, BlockGradient& gradient, BackwardScratch& scratch) {
  int64_t rows = static_cast<int64_t>(dh.size()) / c.hidden;
  Pass pass{c, weights, tape, gradient, rows};
  auto& [dact, dgate, dx, dout, dq, dkv] = scratch;
  dgate.resize(tape.gate.size());
  pass.run({pass.linear(Role::kDown, Stage::kDown, dh.data(), c.hidden, c.hidden)}, dact);
  silu_times_backward(tape.gate.data(), tape.up.data(), rows * c.mlp, dact.data(), dgate.data());
  pass.run({pass.linear(Role::kUp, Stage::kGateUp, dact.data(), c.mlp, c.mlp),
            pass.linear(Role::kGate, Stage::kGateUp, dgate.data(), c.mlp, c.mlp)},
           dx);
  pass.norm(tape.middle, block.mlp_norm, dx, dh, gradient.mlp_norm);

  int64_t qd = c.q_dim(), kd = c.kv_dim();
  pass.run({pass.linear(Role::kO, Stage::kOut, dh.data(), c.hidden, c.hidden)}, dout);
  dq.resize(tape.q.size());
  dkv.resize(tape.kv.size());
  bool norms = !gradient.query_norm.empty();
  attention_backward(c, block, rope, slices, tape, dout.data(), dq.data(), dkv.data(),
                     norms ? gradient.query_norm.data() : nullptr,
                     norms ? gradient.key_norm.data() : nullptr);
  pass.run({pass.linear(Role::kQ, Stage::kQkv, dq.data(), qd, qd),
            pass.linear(Role::kK, Stage::kQkv, dkv.data(), kd, 2 * kd),
            pass.linear(Role::kV, Stage::kQkv, dkv.data() + kd, kd, 2 * kd)},
           dx);
  pass.norm(tape.h, block.attention_norm, dx, dh, gradient.attention_norm);
}

}  // namespace nibble
