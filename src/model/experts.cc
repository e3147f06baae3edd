#include "model/experts.h"

#include <algorithm>
#include <numeric>

#include "base/profile.h"

namespace nibble {
namespace {

// Softmax of n logits in place.
void soften(float* x, int64_t n) {
  float top = *std::max_element(x, x + n), total = 0;
  for (int64_t i = 0; i < n; ++i) total += x[i] = std::exp(x[i] - top);
  for (int64_t i = 0; i < n; ++i) x[i] /= total;
}

// A token that an expert is chosen for.
struct Choice {
  int64_t row;
  float weight;
};

// The most likely experts of one token, an earlier one before a later one of the same share. out:
// by expert.
void choose(const DecoderConfig& c, const float* share, int64_t experts, int64_t row,
            std::vector<std::vector<Choice>>& out) {
  std::vector<int64_t> order(static_cast<size_t>(experts));
  std::iota(order.begin(), order.end(), 0);
  auto most = order.begin() + c.experts_per_token;
  std::partial_sort(order.begin(), most, order.end(), [&](int64_t a, int64_t b) {
    return share[a] != share[b] ? share[a] > share[b] : a < b;
  });
  float total = 1;
  if (c.normalized_experts) {
    total = 0;
    for (auto e = order.begin(); e != most; ++e) total += share[*e];
  }
  for (auto e = order.begin(); e != most; ++e)
    out[static_cast<size_t>(*e)].push_back({row, share[*e] / total});
}

// Bytes and products of experts' linears that `routes` tokens pass.
OperatorTimer timer_of(const char* name, const Block& block, const Flow& flow,
                       std::initializer_list<Role> roles) {
  int64_t bytes = 0, macs = 0;
  for (size_t e = 0; e < block.experts.size(); ++e) {
    int64_t count = flow.routes.first[e + 1] - flow.routes.first[e];
    for (Role r : roles) {
      const Linear& linear = block.expert(static_cast<int64_t>(e), r);
      if (count > 0) bytes += linear.read_bytes();
      macs += linear.rows() * linear.cols() * count;
    }
  }
  return OperatorTimer(name, bytes, macs);
}

}  // namespace

void route(const DecoderConfig& c, const Block& block, Flow& flow) {
  OperatorTimer timer("router", block.router->read_bytes(),
                      flow.rows * c.hidden * block.layer.experts);
  int64_t experts = block.layer.experts;
  std::vector<float> share(static_cast<size_t>(flow.rows * experts));
  LinearInput& in = flow.input.set(flow.x.data(), flow.rows, c.hidden);
  block.router->run(in, share.data(), experts);
  std::vector<std::vector<Choice>> chosen(static_cast<size_t>(experts));
  for (int64_t r = 0; r < flow.rows; ++r) {
    soften(share.data() + r * experts, experts);
    choose(c, share.data() + r * experts, experts, r, chosen);
  }
  flow.routes = {{0}, {}, {}};
  for (const std::vector<Choice>& of_expert : chosen) {
    for (const Choice& choice : of_expert) {
      flow.routes.row.push_back(choice.row);
      flow.routes.weight.push_back(choice.weight);
    }
    flow.routes.first.push_back(static_cast<int64_t>(flow.routes.row.size()));
  }
}

void expert_gate_and_up(const DecoderConfig& c, const Block& block, Flow& flow) {
  OperatorTimer timer = timer_of("experts' gate, up", block, flow, {Role::kGate, Role::kUp});
  int64_t width = c.expert_mlp;
  std::vector<float>&gate = flow.scratch[0], &up = flow.scratch[1];
  up.resize(flow.routes.row.size() * static_cast<size_t>(width));
  BlockTape* tape = flow.tape;
  if (tape)
    for (auto* v : {&tape->gate, &tape->up}) v->resize(up.size());
  std::vector<float> gathered;
  for (int64_t e = 0; e < block.layer.experts; ++e) {
    LinearSpec spec{Role::kGate, Stage::kGateUp, "", width, c.hidden, false, e};
    InputRows rows = input_rows(flow.x.data(), flow.rows, flow.routes, spec, gathered);
    if (rows.count == 0) continue;
    gate.resize(static_cast<size_t>(rows.count * width));
    int64_t begin = flow.routes.first[static_cast<size_t>(e)] * width;
    float* y = up.data() + begin;
    LinearInput in(rows.x, rows.count, c.hidden);
    block.expert(e, Role::kGate).run(in, gate.data(), width);
    block.expert(e, Role::kUp).run(in, y, width, [&](int64_t first, int64_t last) {
      for (int64_t r = 0; r < rows.count; ++r) {
        const float* from = y + r * width;
        if (tape) std::copy(from + first, from + last, tape->up.data() + begin + r * width + first);
        float_ops().activate_times(c.activation, gate.data() + r * width + first, last - first,
                                   y + r * width + first);
      }
    });
    if (tape) std::copy_n(gate.data(), rows.count * width, tape->gate.data() + begin);
  }
  flow.x.swap(up);
}

void expert_down(const DecoderConfig& c, const Block& block, const Flow& flow, float* y) {
  OperatorTimer timer = timer_of("experts' down", block, flow, {Role::kDown});
  std::fill_n(y, flow.rows * c.hidden, 0.f);
  std::vector<float> part, unused;
  for (int64_t e = 0; e < block.layer.experts; ++e) {
    LinearSpec spec{Role::kDown, Stage::kDown, "", c.hidden, c.expert_mlp, false, e};
    InputRows rows = input_rows(flow.x.data(), flow.rows, flow.routes, spec, unused);
    if (rows.count == 0) continue;
    part.resize(static_cast<size_t>(rows.count * c.hidden));
    LinearInput in(rows.x, rows.count, c.expert_mlp);
    block.expert(e, Role::kDown).run(in, part.data(), c.hidden);
    for (int64_t i = 0; i < rows.count; ++i) {
      auto at = static_cast<size_t>(flow.routes.first[static_cast<size_t>(e)] + i);
      float *to = y + flow.routes.row[at] * c.hidden, weight = flow.routes.weight[at];
      for (int64_t j = 0; j < c.hidden; ++j)
        to[j] += weight * part[static_cast<size_t>(i * c.hidden + j)];
    }
  }
}

}  // namespace nibble
