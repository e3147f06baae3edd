// A mixture of experts' gradient, expert by expert; the router itself does not learn, but what
// entered it does.
#include <cmath>

#include "model/blas.h"
#include "model/experts.h"
#include "train/block_pieces.h"

namespace nibble {
namespace {

// dL/d of the router's logits, (rows, experts). dshare: dL/d of each route's weight.
std::vector<float> logit_gradient(const BackwardPass& p, const Routes& routes,
                                  const std::vector<float>& logits,
                                  const std::vector<float>& dshare) {
  int64_t experts = p.block.layer.experts;
  std::vector<float> out(logits.size()), along(static_cast<size_t>(p.rows));
  for (size_t i = 0; i < dshare.size(); ++i)
    along[static_cast<size_t>(routes.row[i])] += routes.weight[i] * dshare[i];
  // Weights that sum to 1 are a softmax over a token's own experts, others one over all of them.
  for (int64_t r = 0; !p.c.normalized_experts && r < p.rows; ++r) {
    const float* x = logits.data() + r * experts;
    float top = *std::max_element(x, x + experts), total = 0;
    for (int64_t e = 0; e < experts; ++e) total += std::exp(x[e] - top);
    for (int64_t e = 0; e < experts; ++e)
      out[static_cast<size_t>(r * experts + e)] =
          -std::exp(x[e] - top) / total * along[static_cast<size_t>(r)];
  }
  for (int64_t e = 0; e < experts; ++e)
    for (auto i = static_cast<size_t>(routes.first[static_cast<size_t>(e)]);
         i < static_cast<size_t>(routes.first[static_cast<size_t>(e) + 1]); ++i) {
      float from = p.c.normalized_experts ? along[static_cast<size_t>(routes.row[i])] : 0;
      out[static_cast<size_t>(routes.row[i] * experts + e)] +=
          routes.weight[i] * (dshare[i] - from);
    }
  return out;
}

// Rows of `from` (width each) that an expert's routes [first, first + count) name, into `to`.
void gather(const Routes& routes, int64_t first, int64_t count, const float* from, int64_t width,
            std::vector<float>& to) {
  to.resize(static_cast<size_t>(count * width));
  for (int64_t i = 0; i < count; ++i)
    std::copy_n(from + routes.row[static_cast<size_t>(first + i)] * width, width,
                to.data() + i * width);
}

}  // namespace

void experts_backward(const BackwardPass& p, const float* dy, BackwardScratch& s) {
  const DecoderConfig& c = p.c;
  int64_t width = c.expert_mlp, hidden = c.hidden, experts = p.block.layer.experts;
  const std::vector<float>& x = p.input(Stage::kGateUp);
  Flow flow;
  flow.rows = p.rows;
  flow.x = x;
  route(c, p.block, flow);
  const Routes& routes = flow.routes;
  std::vector<float> dshare(routes.row.size()), act, dx;
  std::vector<float> sum(static_cast<size_t>(p.rows * hidden));
  for (int64_t e = 0; e < experts; ++e) {
    int64_t first = routes.first[static_cast<size_t>(e)];
    int64_t count = routes.first[static_cast<size_t>(e) + 1] - first;
    if (count == 0) continue;
    // An expert's output is weighted; here its input is instead, which is the same to W.
    const float* in = p.input(Stage::kDown).data() + first * width;
    act.assign(in, in + count * width);
    for (int64_t i = 0; i < count * width; ++i)
      act[static_cast<size_t>(i)] *= routes.weight[static_cast<size_t>(first + i / width)];
    gather(routes, first, count, dy, hidden, s.dexpert);
    p.run({p.linear(Role::kDown, act.data(), s.dexpert.data(), hidden, hidden, e)}, count, s.dact);
    for (int64_t i = 0; i < count * width; ++i) {
      auto at = static_cast<size_t>(first + i / width);
      float& d = s.dact[static_cast<size_t>(i)];
      dshare[at] += d * in[i];
      d *= routes.weight[at];
    }
    s.dgate.resize(s.dact.size());
    activation_backward(c.activation, p.tape.gate.data() + first * width,
                        p.tape.up.data() + first * width, count * width, s.dact.data(),
                        s.dgate.data());
    gather(routes, first, count, x.data(), hidden, s.x);
    p.run({p.linear(Role::kUp, s.x.data(), s.dact.data(), width, width, e),
           p.linear(Role::kGate, s.x.data(), s.dgate.data(), width, width, e)},
          count, dx);
    for (int64_t i = 0; i < count; ++i) {
      float* to = sum.data() + routes.row[static_cast<size_t>(first + i)] * hidden;
      for (int64_t j = 0; j < hidden; ++j) to[j] += dx[static_cast<size_t>(i * hidden + j)];
    }
  }
  std::vector<float> logits(static_cast<size_t>(p.rows * experts));
  LinearInput in(x.data(), p.rows, hidden);
  p.block.router->run(in, logits.data(), experts);
  std::vector<float> dlogits = logit_gradient(p, routes, logits, dshare);
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, static_cast<int>(p.rows),
              static_cast<int>(hidden), static_cast<int>(experts), 1, dlogits.data(),
              static_cast<int>(experts), p.weights.router.data(), static_cast<int>(hidden), 1,
              sum.data(), static_cast<int>(hidden));
  s.dx = std::move(sum);
}

}  // namespace nibble
