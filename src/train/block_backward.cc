#include "train/block_backward.h"

#include <cmath>

#include "model/experts.h"
#include "train/block_pieces.h"

namespace nibble {
namespace {

// dx of the MLP's input, from dL/d of its output.
void mlp_backward(const BackwardPass& p, const float* dy, BackwardScratch& s) {
  const DecoderConfig& c = p.c;
  if (p.block.router) return experts_backward(p, dy, s);
  p.run({p.linear(Role::kDown, Stage::kDown, dy, c.hidden, c.hidden)}, s.dact);
  s.dgate.resize(p.tape.gate.size());
  activation_backward(c.activation, c.gated ? p.tape.gate.data() : nullptr, p.tape.up.data(),
                      p.rows * c.mlp, s.dact.data(), s.dgate.data());
  if (c.fused_gate_up) {
    std::vector<float> both(static_cast<size_t>(p.rows * 2 * c.mlp));
    for (int64_t r = 0; r < p.rows; ++r) {
      std::copy_n(s.dgate.data() + r * c.mlp, c.mlp, both.data() + r * 2 * c.mlp);
      std::copy_n(s.dact.data() + r * c.mlp, c.mlp, both.data() + (r * 2 + 1) * c.mlp);
    }
    return p.run({p.linear(Role::kGateUp, Stage::kGateUp, both.data(), 2 * c.mlp, 2 * c.mlp)},
                 s.dx);
  }
  std::vector<LinearGradient> linears = {
      p.linear(Role::kUp, Stage::kGateUp, s.dact.data(), c.mlp, c.mlp)};
  if (c.gated)
    linears.push_back(p.linear(Role::kGate, Stage::kGateUp, s.dgate.data(), c.mlp, c.mlp));
  p.run(linears, s.dx);
}

// dx of the attention's input, from dL/d of its output.
void attention_part(const BackwardPass& p, const Positions& positions,
                    std::span<const Slice> slices, const float* dy, BackwardScratch& s) {
  const DecoderConfig& c = p.c;
  p.run({p.linear(Role::kO, Stage::kOut, dy, c.hidden, c.hidden)}, s.dout);
  s.dqkv.resize(p.tape.qkv.size());
  attention_backward(c, p.block, positions, slices, p.tape, s.dout.data(), s.dqkv.data(),
                     data_or_null(p.gradient.of(NormPlace::kQuery)),
                     data_or_null(p.gradient.of(NormPlace::kKey)));
  for (size_t i = 0; c.clip_qkv > 0 && i < s.dqkv.size(); ++i)
    if (std::fabs(p.tape.qkv[i]) >= static_cast<float>(c.clip_qkv)) s.dqkv[i] = 0;
  int64_t width = c.qkv_dim(), qd = c.q_dim(), kd = c.kv_dim();
  const float* d = s.dqkv.data();
  if (c.qkv == QkvOrder::kSeparate)
    p.run({p.linear(Role::kQ, Stage::kQkv, d, qd, width),
           p.linear(Role::kK, Stage::kQkv, d + qd, kd, width),
           p.linear(Role::kV, Stage::kQkv, d + qd + kd, kd, width)},
          s.dx);
  else
    p.run({p.linear(Role::kQkv, Stage::kQkv, d, width, width)}, s.dx);
}

// What the linear of `role` gave, y: (rows, hidden).
void run_branch(const BackwardPass& p, Role role, std::vector<float>& y) {
  y.resize(static_cast<size_t>(p.rows * p.c.hidden));
  if (role == Role::kDown && p.block.router) {
    Flow flow;
    flow.rows = p.rows;
    flow.x = p.input(Stage::kGateUp);
    route(p.c, p.block, flow);
    flow.x = p.input(Stage::kDown);
    return expert_down(p.c, p.block, flow, y.data());
  }
  const Linear& linear = p.block.linear(role);
  LinearInput in(p.input(role == Role::kDown ? Stage::kDown : Stage::kOut).data(), p.rows,
                 linear.cols());
  linear.run(in, y.data(), p.c.hidden);
}

// dh += what goes back through the norm at `place` of dx. Where the stream behind that norm is also
// what the branch adds to, all of it went through the norm.
void enter(const BackwardPass& p, NormPlace place, const std::vector<float>& x,
           std::vector<float>& dx, std::vector<float>& dh) {
  if (p.c.residual_is_normed) {
    for (size_t i = 0; i < dx.size(); ++i) dx[i] += dh[i];
    std::fill(dh.begin(), dh.end(), 0.f);
  }
  p.norm(place, x, dx, dh);
}

}  // namespace

const float* BackwardPass::branch(Role role, NormPlace out, NormPlace after,
                                  const std::vector<float>& base, std::vector<float>& dh,
                                  BackwardScratch& s) const {
  const Norm &own = block.norm(out), &behind = block.norm(after);
  auto scale = static_cast<float>(c.residual_scale);
  if (!own && !behind && scale == 1) return dh.data();
  std::vector<float> y, sum, back;
  if (own || behind) run_branch(*this, role, y);
  if (behind) {
    sum = y;
    if (own) norm_rows(c, own, y.data(), rows, sum.data());
    for (size_t i = 0; i < sum.size(); ++i) sum[i] = base[i] + scale * sum[i];
    back.assign(dh.size(), 0.f);
    norm(after, sum, dh, back);
    dh.swap(back);
  }
  s.dy = dh;
  for (float& v : s.dy) v *= scale;
  if (!own) return s.dy.data();
  back.assign(dh.size(), 0.f);
  norm(out, y, s.dy, back);
  s.dy.swap(back);
  return s.dy.data();
}

void block_backward(const DecoderConfig& c, const Block& block, const BlockMatrices& weights,
                    const Positions& positions, std::span<const Slice> slices,
                    const BlockTape& tape, std::vector<float>& dh, BlockGradient& gradient,
                    BackwardScratch& scratch) {
  BackwardPass pass{c, block, weights, tape, gradient, static_cast<int64_t>(dh.size()) / c.hidden};
  const std::vector<float>&before = c.residual_is_normed ? pass.input(Stage::kQkv) : tape.h,
        &middle = c.residual_is_normed ? pass.input(Stage::kGateUp) : tape.middle;
  mlp_backward(
      pass, pass.branch(Role::kDown, NormPlace::kMlpOut, NormPlace::kMlpAfter, middle, dh, scratch),
      scratch);
  if (c.parallel) {
    // The MLP read the block's input: what goes back through it waits for attention's part.
    bool own = static_cast<bool>(block.norm(NormPlace::kMlpIn));
    scratch.dmlp.assign(dh.size(), 0.f);
    pass.norm(own ? NormPlace::kMlpIn : NormPlace::kAttentionIn, tape.h, scratch.dx, scratch.dmlp);
  } else {
    enter(pass, NormPlace::kMlpIn, tape.middle, scratch.dx, dh);
  }
  attention_part(pass, positions, slices,
                 pass.branch(Role::kO, NormPlace::kAttentionOut, NormPlace::kAttentionAfter, before,
                             dh, scratch),
                 scratch);
  enter(pass, NormPlace::kAttentionIn, tape.h, scratch.dx, dh);
  for (size_t i = 0; c.parallel && i < dh.size(); ++i) dh[i] += scratch.dmlp[i];
}

}  // namespace nibble
