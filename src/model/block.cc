#include "model/block.h"

#include <cmath>

#include "base/checked.h"
#include "base/threads.h"
#include "model/math.h"

namespace nibble {
namespace {

// Rows that one chunk of an elementwise pass takes; below it threads cost more than they give.
constexpr int64_t kRowChunk = 32;

void for_rows(int64_t rows, const std::function<void(int64_t, int64_t)>& body) {
  parallel_for(ceil_div(rows, kRowChunk),
               [&](int64_t c) { body(c * kRowChunk, std::min(rows, (c + 1) * kRowChunk)); });
}

// Norms (where the family has them) and rotates heads of one projected row.
void finish_heads(const std::vector<float>& norm, double eps, const Rope& rope, int64_t position,
                  int64_t heads, int64_t head_dim, float* row) {
  for (int64_t h = 0; h < heads; ++h) {
    float* x = row + h * head_dim;
    if (!norm.empty()) rms_norm(x, 1, head_dim, norm.data(), eps, x);
    rope.rotate(x, position);
  }
}

// q, k, v of the rows; k and v go into the caches, q comes back finished. q: (rows, q_dim).
std::vector<float> project(const DecoderConfig& c, const Block& block, const Rope& rope,
                           Flow& flow) {
  int64_t qd = c.q_dim(), kd = c.kv_dim();
  auto rows = static_cast<size_t>(flow.rows);
  std::vector<float> q(rows * static_cast<size_t>(qd)), kv(rows * static_cast<size_t>(2 * kd));
  LinearInput in(flow.x.data(), flow.rows, c.hidden);
  block.linear(Role::kQ).run(in, q.data(), qd);
  block.linear(Role::kK).run(in, kv.data(), 2 * kd);
  block.linear(Role::kV).run(in, kv.data() + kd, 2 * kd);
  int64_t row = 0;
  for (const Slice& s : flow.slices) {
    s.cache->allocate(block.index);
    for_rows(s.count, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        int64_t position = s.position + t;
        float* k = kv.data() + (row + t) * 2 * kd;
        finish_heads(block.query_norm, c.norm_eps, rope, position, c.heads, c.head_dim,
                     q.data() + (row + t) * qd);
        finish_heads(block.key_norm, c.norm_eps, rope, position, c.kv_heads, c.head_dim, k);
        for (int64_t h = 0; h < c.kv_heads; ++h) {
          int64_t at = position * c.head_dim, from = h * c.head_dim;
          std::copy_n(k + from, c.head_dim, s.cache->keys(block.index, h) + at);
          std::copy_n(k + kd + from, c.head_dim, s.cache->values(block.index, h) + at);
        }
      }
    });
    row += s.count;
  }
  return q;
}

// h += linear(x); y is scratch.
void add_linear(const Linear& linear, Flow& flow) {
  std::vector<float> y(flow.h.size());
  LinearInput in(flow.x.data(), flow.rows, linear.cols());
  linear.run(in, y.data(), linear.rows());
  for (size_t i = 0; i < y.size(); ++i) flow.h[i] += y[i];
}

void norm_into_x(const DecoderConfig& c, const std::vector<float>& weight, Flow& flow) {
  flow.x.resize(flow.h.size());
  for_rows(flow.rows, [&](int64_t begin, int64_t end) {
    rms_norm(flow.h.data() + begin * c.hidden, end - begin, c.hidden, weight.data(), c.norm_eps,
             flow.x.data() + begin * c.hidden);
  });
}

void gate_and_up(const DecoderConfig& c, const Block& block, Flow& flow) {
  auto size = static_cast<size_t>(flow.rows * c.mlp);
  std::vector<float> gate(size), up(size);
  LinearInput in(flow.x.data(), flow.rows, c.hidden);
  block.linear(Role::kGate).run(in, gate.data(), c.mlp);
  block.linear(Role::kUp).run(in, up.data(), c.mlp);
  for_rows(flow.rows, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * c.mlp; i < end * c.mlp; ++i) {
      auto j = static_cast<size_t>(i);
      up[j] *= silu(gate[j]);
    }
  });
  flow.x = std::move(up);
}

}  // namespace

Result<Block> load_block(const Weights& weights, int64_t layer, Activations mode) {
  const DecoderConfig& c = weights.config();
  Block b;
  b.index = layer;
  b.window = c.windows[static_cast<size_t>(layer)];
  BlockNorms norms = block_norms(c, layer);
  b.attention_norm = NB_TRY(weights.vector(norms.attention));
  b.mlp_norm = NB_TRY(weights.vector(norms.mlp));
  if (c.qk_norm) {
    b.query_norm = NB_TRY(weights.vector(norms.query));
    b.key_norm = NB_TRY(weights.vector(norms.key));
  }
  for (const LinearSpec& spec : block_linears(c, layer))
    b.slot(spec.role) = NB_TRY(weights.linear(spec, mode));
  return b;
}

void rms_norm(const float* x, int64_t rows, int64_t n, const float* weight, double eps, float* y) {
  for (int64_t r = 0; r < rows; ++r, x += n, y += n) {
    float sums[8] = {};  // a fixed order that vectorizes
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
      for (int64_t j = 0; j < 8; ++j) sums[j] += x[i + j] * x[i + j];
    double total = 0;
    for (; i < n; ++i) total += static_cast<double>(x[i]) * x[i];
    for (float s : sums) total += s;
    auto scale = static_cast<float>(1 / std::sqrt(total / static_cast<double>(n) + eps));
    for (i = 0; i < n; ++i) y[i] = x[i] * scale * weight[i];
  }
}

void enter_block(const DecoderConfig& config, const Block& block, Flow& flow) {
  norm_into_x(config, block.attention_norm, flow);
}

void advance(Stage stage, const DecoderConfig& c, const Block& block, const Rope& rope,
             Flow& flow) {
  switch (stage) {
    case Stage::kQkv: {
      std::vector<float> q = project(c, block, rope, flow);
      flow.x.resize(q.size());
      attend(c, block, flow, q.data(), flow.x.data());
      return;
    }
    case Stage::kOut:
      add_linear(block.linear(Role::kO), flow);
      norm_into_x(c, block.mlp_norm, flow);
      return;
    case Stage::kGateUp:
      gate_and_up(c, block, flow);
      return;
    case Stage::kDown:
      add_linear(block.linear(Role::kDown), flow);
      flow.x.clear();
      return;
  }
}

}  // namespace nibble
