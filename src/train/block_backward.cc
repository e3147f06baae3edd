#include "train/block_backward.h"

#include "train/block_pieces.h"

namespace nibble {
namespace {

// dx of the MLP's input.
void mlp_backward(const BackwardPass& p, const std::vector<float>& dh, BackwardScratch& s) {
  const DecoderConfig& c = p.c;
  if (p.block.router) return experts_backward(p, dh, s);
  const float* dy = p.scaled(dh, s.dy);
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

// dx of the attention's input.
void attention_part(const BackwardPass& p, const Positions& positions,
                    std::span<const Slice> slices, const std::vector<float>& dh,
                    BackwardScratch& s) {
  const DecoderConfig& c = p.c;
  const float* dy = p.scaled(dh, s.dy);
  p.run({p.linear(Role::kO, Stage::kOut, dy, c.hidden, c.hidden)}, s.dout);
  s.dqkv.resize(p.tape.qkv.size());
  attention_backward(c, p.block, positions, slices, p.tape, s.dout.data(), s.dqkv.data(),
                     data_or_null(p.gradient.of(NormPlace::kQuery)),
                     data_or_null(p.gradient.of(NormPlace::kKey)));
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

}  // namespace

std::string backward_gap(const DecoderConfig& c) {
  if (c.score_softcap > 0 || c.logit_softcap > 0) return "scores or logits within bounds";
  for (NormPlace place : {NormPlace::kAttentionOut, NormPlace::kAttentionAfter, NormPlace::kMlpOut,
                          NormPlace::kMlpAfter})
    if (c.has(place)) return "norms behind attention and MLP";
  if (c.residual_is_normed) return "normed residual streams";
  if (c.qk_norm == QkNorm::kEachHead || c.qk_norm == QkNorm::kRow)
    return "this kind of norm of queries and keys";
  if (c.clip_qkv > 0) return "clipped queries and keys";
  if (c.embedding_width != c.hidden) return "embeddings of another width";
  if (!c.final_norm) return "no norm before the head";
  return "";
}

void block_backward(const DecoderConfig& c, const Block& block, const BlockMatrices& weights,
                    const Positions& positions, std::span<const Slice> slices,
                    const BlockTape& tape, std::vector<float>& dh, BlockGradient& gradient,
                    BackwardScratch& scratch) {
  BackwardPass pass{c, block, weights, tape, gradient, static_cast<int64_t>(dh.size()) / c.hidden};
  mlp_backward(pass, dh, scratch);
  if (c.parallel) {
    // The MLP read the block's input: what goes back through it waits for attention's part.
    bool own = static_cast<bool>(block.norm(NormPlace::kMlpIn));
    scratch.dmlp.assign(dh.size(), 0.f);
    pass.norm(own ? NormPlace::kMlpIn : NormPlace::kAttentionIn, tape.h, scratch.dx, scratch.dmlp);
  } else {
    pass.norm(NormPlace::kMlpIn, tape.middle, scratch.dx, dh);
  }
  attention_part(pass, positions, slices, dh, scratch);
  pass.norm(NormPlace::kAttentionIn, tape.h, scratch.dx, dh);
  for (size_t i = 0; c.parallel && i < dh.size(); ++i) dh[i] += scratch.dmlp[i];
}

}  // namespace nibble
