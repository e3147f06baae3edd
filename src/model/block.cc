#include "model/block.h"

#include <array>

#include "base/checked.h"
#include "base/profile.h"
#include "base/threads.h"

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
    if (!norm.empty()) float_ops().rms_norm(x, head_dim, norm.data(), eps, x);
    rope.rotate(x, position);
  }
}

// Finishes q and k of one slice's rows and puts k and v, (rows, 2 kv_dim), into its cache.
void finish_slice(const DecoderConfig& c, const Block& block, const Rope& rope, const Slice& s,
                  float* q, float* kv) {
  int64_t qd = c.q_dim(), kd = c.kv_dim();
  s.cache->allocate(block.index);
  for_rows(s.count, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      int64_t position = s.position + t;
      float* k = kv + t * 2 * kd;
      finish_heads(block.query_norm, c.norm_eps, rope, position, c.heads, c.head_dim, q + t * qd);
      finish_heads(block.key_norm, c.norm_eps, rope, position, c.kv_heads, c.head_dim, k);
      for (int64_t h = 0; h < c.kv_heads; ++h)
        float_ops().store_kv(s.cache->head(block.index, h), position, k + h * c.head_dim,
                             k + kd + h * c.head_dim);
    }
  });
}

// What a profile counts for linears over `rows` rows.
struct Work {
  int64_t bytes = 0, macs = 0;
  Work(const Block& block, std::initializer_list<Role> roles, int64_t rows) {
    for (Role r : roles) {
      const Linear& linear = block.linear(r);
      bytes += linear.read_bytes();
      macs += linear.rows() * linear.cols() * rows;
    }
  }
};

// Keys and values read, and products with them, of all slices.
Work attention_work(const DecoderConfig& c, const Block& block, const Flow& flow) {
  Work w(block, {}, 0);
  for (const Slice& s : flow.slices) {
    w.bytes += (s.position + s.count) * s.cache->position_bytes();
    w.macs += 2 * c.q_dim() * s.count * (s.position + (s.count + 1) / 2);
  }
  return w;
}

// From the first stage's input to the attention's output, in flow.x.
void attend_to_input(const DecoderConfig& c, const Block& block, const Rope& rope, Flow& flow) {
  int64_t qd = c.q_dim(), kd = c.kv_dim();
  auto& [q, kv] = flow.scratch;
  q.resize(static_cast<size_t>(flow.rows * qd));
  kv.resize(static_cast<size_t>(flow.rows * 2 * kd));
  {
    Work work(block, {Role::kQ, Role::kK, Role::kV}, flow.rows);
    OperatorTimer timer("q, k, v", work.bytes, work.macs);
    LinearInput in(flow.x.data(), flow.rows, c.hidden);
    run_pieces(std::array{block.linear(Role::kQ).pieces(in, q.data(), qd, {}),
                          block.linear(Role::kK).pieces(in, kv.data(), 2 * kd, {}),
                          block.linear(Role::kV).pieces(in, kv.data() + kd, 2 * kd, {})});
  }
  if (flow.tape) {
    flow.tape->q = q;
    flow.tape->kv = kv;
  }
  {
    OperatorTimer timer("rotation, cache", 0, 0);
    int64_t row = 0;
    for (const Slice& s : flow.slices) {
      finish_slice(c, block, rope, s, q.data() + row * qd, kv.data() + row * 2 * kd);
      row += s.count;
    }
  }
  Work work = attention_work(c, block, flow);
  OperatorTimer timer("attention", work.bytes, work.macs);
  flow.x.resize(q.size());
  attend(c, block, flow, q.data(), flow.x.data());
}

// h += linear(x).
void add_linear(const char* name, const Block& block, Role role, Flow& flow) {
  Work work(block, {role}, flow.rows);
  OperatorTimer timer(name, work.bytes, work.macs);
  const Linear& linear = block.linear(role);
  int64_t n = linear.rows();
  float* h = flow.h.data();
  flow.scratch[0].resize(flow.h.size());
  float* y = flow.scratch[0].data();
  LinearInput in(flow.x.data(), flow.rows, linear.cols());
  linear.run(in, y, n, [=, rows = flow.rows](int64_t first, int64_t last) {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t i = r * n + first; i < r * n + last; ++i) h[i] += y[i];
  });
}

void norm_into_x(const DecoderConfig& c, const std::vector<float>& weight, Flow& flow) {
  OperatorTimer timer("norm", 0, 0);
  flow.x.resize(flow.h.size());
  norm_rows(c, flow.h.data(), flow.rows, weight.data(), flow.x.data());
}

// x = silu(gate(x)) * up(x).
void gate_and_up(const DecoderConfig& c, const Block& block, Flow& flow) {
  Work work(block, {Role::kGate, Role::kUp}, flow.rows);
  OperatorTimer timer("gate, up", work.bytes, work.macs);
  for (auto& v : flow.scratch) v.resize(static_cast<size_t>(flow.rows * c.mlp));
  float *gate = flow.scratch[0].data(), *up = flow.scratch[1].data();
  if (flow.tape) flow.tape->up.resize(flow.scratch[1].size());
  LinearInput in(flow.x.data(), flow.rows, c.hidden);
  block.linear(Role::kGate).run(in, gate, c.mlp);
  block.linear(Role::kUp).run(
      in, up, c.mlp, [=, &c, rows = flow.rows, tape = flow.tape](int64_t first, int64_t last) {
        for (int64_t r = 0; r < rows; ++r) {
          float* y = up + r * c.mlp;
          if (tape) std::copy(y + first, y + last, tape->up.data() + r * c.mlp + first);
          float_ops().silu_times(gate + r * c.mlp + first, last - first, y + first);
        }
      });
  if (flow.tape) flow.tape->gate.assign(gate, gate + flow.rows * c.mlp);
  flow.x.swap(flow.scratch[1]);
}

}  // namespace

Result<Block> load_block(const Weights& weights, int64_t layer, Activations mode,
                         PackedStore* store) {
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
    b.slot(spec.role) = NB_TRY(weights.linear(spec, mode, store));
  return b;
}

void norm_rows(const DecoderConfig& c, const float* x, int64_t rows, const float* weight,
               float* y) {
  for_rows(rows, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * c.hidden; i < end * c.hidden; i += c.hidden)
      float_ops().rms_norm(x + i, c.hidden, weight, c.norm_eps, y + i);
  });
}

void enter_block(const DecoderConfig& config, const Block& block, Flow& flow) {
  if (flow.tape) flow.tape->h = flow.h;
  norm_into_x(config, block.attention_norm, flow);
}

void advance(Stage stage, const DecoderConfig& c, const Block& block, const Rope& rope,
             Flow& flow) {
  if (flow.tape) flow.tape->x[static_cast<size_t>(stage)] = flow.x;
  switch (stage) {
    case Stage::kQkv:
      attend_to_input(c, block, rope, flow);
      return;
    case Stage::kOut:
      add_linear("output", block, Role::kO, flow);
      if (flow.tape) flow.tape->middle = flow.h;
      norm_into_x(c, block.mlp_norm, flow);
      return;
    case Stage::kGateUp:
      gate_and_up(c, block, flow);
      return;
    case Stage::kDown:
      add_linear("down", block, Role::kDown, flow);
      flow.x.clear();
      return;
  }
}

}  // namespace nibble
