#include "model/block.h"

#include <algorithm>

#include "base/profile.h"
#include "model/experts.h"

namespace nibble {
namespace {

// Norms (where the family has them) and rotates heads of one projected row, the first of them at
// `x`, `step` apart.
struct HeadFinish {
  const DecoderConfig& c;
  const Norm& norm;
  const Rope* rope;
  int64_t longest;

  void operator()(float* x, int64_t number, int64_t position) const {
    bool own = c.qk_norm == QkNorm::kEachHead;
    if (norm && c.qk_norm != QkNorm::kRow)
      norm_row(c, norm, own ? number * c.head_dim : 0, c.head_dim, x, x);
    if (rope) rope->rotate(x, position, longest);
  }
};

// Finishes queries and keys of one slice's rows, (rows, qkv_dim), and puts keys and values into its
// cache.
void finish_slice(const DecoderConfig& c, const Block& block, const Positions& positions,
                  const Slice& s, float* qkv) {
  QkvLayout at(c);
  const Rope* rope = positions.rope(block.layer);
  int64_t longest = s.cache->capacity();
  HeadFinish query{c, block.norm(NormPlace::kQuery), rope, longest};
  HeadFinish key{c, block.norm(NormPlace::kKey), rope, longest};
  bool rows_normed = c.qk_norm == QkNorm::kRow;
  s.cache->allocate(block.index);
  for_rows(s.count, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      int64_t position = s.position + t;
      float *row = qkv + t * c.qkv_dim(), *q = row + at.q, *k = row + at.k, *v = row + at.v;
      if (rows_normed) norm_row(c, query.norm, 0, c.q_dim(), q, q);
      if (rows_normed) norm_row(c, key.norm, 0, c.kv_dim(), k, k);
      for (int64_t h = 0; h < c.kv_heads; ++h) {
        for (int64_t i = 0; i < at.shared; ++i)
          query(q + h * at.q_step + i * c.head_dim, h * at.shared + i, position);
        key(k + h * at.k_step, h, position);
        float_ops().store_kv(s.cache->head(block.index, h), position, k + h * at.k_step,
                             v + h * at.v_step);
      }
    }
  });
}

// What a profile counts for linears over `rows` rows.
struct Work {
  int64_t bytes = 0, macs = 0;
  Work(const Block& block, std::initializer_list<Role> roles, int64_t rows) {
    for (Role r : roles) {
      if (!block.linears[static_cast<size_t>(r)]) continue;
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
    Attended seen = attended(s.position, s.count, block.layer.window);
    w.bytes += seen.positions * s.cache->position_bytes();
    w.macs += 2 * c.q_dim() * seen.pairs;
  }
  return w;
}

// Lets memory go on while one thread prepares what enters these linears.
void read_ahead_of(const Block& block, std::initializer_list<Role> roles, int64_t rows) {
  std::array<Stretch, 4> next;
  size_t count = 0;
  for (Role r : roles) {
    if (!block.linears[static_cast<size_t>(r)]) continue;
    next[count] = block.linear(r).reads(rows);
    if (next[count++].pieces == 0) return;
  }
  read_ahead(std::span(next).first(count));
}

// y: (rows, qkv_dim) of flow.x.
void project(const DecoderConfig& c, const Block& block, Flow& flow, float* y) {
  Work work(block, {Role::kQ, Role::kK, Role::kV, Role::kQkv}, flow.rows);
  OperatorTimer timer("q, k, v", work.bytes, work.macs);
  LinearInput& in = flow.input.set(flow.x.data(), flow.rows, c.hidden);
  int64_t width = c.qkv_dim();
  if (c.qkv == QkvOrder::kSeparate)
    run_pieces(
        std::array{block.linear(Role::kQ).pieces(in, y, width, {}),
                   block.linear(Role::kK).pieces(in, y + c.q_dim(), width, {}),
                   block.linear(Role::kV).pieces(in, y + c.q_dim() + c.kv_dim(), width, {})});
  else
    block.linear(Role::kQkv).run(in, y, width);
  if (c.clip_qkv <= 0) return;
  auto most = static_cast<float>(c.clip_qkv);
  for (int64_t i = 0; i < flow.rows * width; ++i) y[i] = std::clamp(y[i], -most, most);
}

// From the first stage's input to the attention's output, in flow.x.
void attend_to_input(const DecoderConfig& c, const Block& block, const Positions& positions,
                     Flow& flow) {
  std::vector<float>& qkv = flow.scratch[0];
  qkv.resize(static_cast<size_t>(flow.rows * c.qkv_dim()));
  project(c, block, flow, qkv.data());
  if (flow.tape) flow.tape->qkv = qkv;
  {
    OperatorTimer timer("rotation, cache", 0, 0);
    int64_t row = 0;
    for (const Slice& s : flow.slices) {
      finish_slice(c, block, positions, s, qkv.data() + row * c.qkv_dim());
      row += s.count;
    }
  }
  Work work = attention_work(c, block, flow);
  OperatorTimer timer("attention", work.bytes, work.macs);
  flow.x.resize(static_cast<size_t>(flow.rows * c.q_dim()));
  attend(c, block, positions, flow, qkv.data(), flow.x.data());
}

// h += scale * y, y behind a norm where the place has one.
void add_normed(const DecoderConfig& c, const Norm& norm, float* y, Flow& flow) {
  auto scale = static_cast<float>(c.residual_scale);
  if (norm) norm_rows(c, norm, y, flow.rows, y);
  for_rows(flow.rows, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * c.hidden; i < end * c.hidden; ++i)
      flow.h[static_cast<size_t>(i)] += scale * y[i];
  });
}

// h += linear(x), which `out` norms before and `after` behind the sum, where there are such norms.
void add_linear(const char* name, const DecoderConfig& c, const Block& block, Role role,
                NormPlace out, NormPlace after, Flow& flow) {
  flow.scratch[0].resize(flow.h.size());
  float *y = flow.scratch[0].data(), *h = flow.h.data();
  const Norm& norm = block.norm(out);
  if (role == Role::kDown && block.router) {
    expert_down(c, block, flow, y);
    add_normed(c, norm, y, flow);
  } else {
    read_ahead_of(block, {role}, flow.rows);
    Work work(block, {role}, flow.rows);
    OperatorTimer timer(name, work.bytes, work.macs);
    const Linear& linear = block.linear(role);
    LinearInput& in = flow.input.set(flow.x.data(), flow.rows, linear.cols());
    if (norm) {
      linear.run(in, y, c.hidden);
      add_normed(c, norm, y, flow);
    } else {
      linear.run(in, y, c.hidden,
                 [=, n = c.hidden, rows = flow.rows, scale = static_cast<float>(c.residual_scale)](
                     int64_t first, int64_t last) {
                   for (int64_t r = 0; r < rows; ++r)
                     for (int64_t i = r * n + first; i < r * n + last; ++i) h[i] += scale * y[i];
                 });
    }
  }
  if (const Norm& norm_after = block.norm(after)) norm_rows(c, norm_after, h, flow.rows, h);
}

// x (rows, hidden) = the stream behind its norm, or as it is.
void norm_into(const DecoderConfig& c, const Norm& norm, const Flow& flow, std::vector<float>& x) {
  OperatorTimer timer("norm", 0, 0);
  if (!norm) {
    x = flow.h;
    return;
  }
  x.resize(flow.h.size());
  norm_rows(c, norm, flow.h.data(), flow.rows, x.data());
}

// What enters the MLP. Where attention and MLP stand side by side this is of the block's input, so
// it is made before attention's output is added to that.
void mlp_input(const DecoderConfig& c, const Block& block, const Flow& flow,
               std::vector<float>& x) {
  bool own = !c.parallel || block.norm(NormPlace::kMlpIn);
  norm_into(c, block.norm(own ? NormPlace::kMlpIn : NormPlace::kAttentionIn), flow, x);
}

void add_attention(const DecoderConfig& c, const Block& block, Flow& flow) {
  std::vector<float>& x = flow.scratch[1];
  if (c.parallel) mlp_input(c, block, flow, x);
  add_linear("output", c, block, Role::kO, NormPlace::kAttentionOut, NormPlace::kAttentionAfter,
             flow);
  if (flow.tape) flow.tape->middle = flow.h;
  if (!c.parallel) {
    read_ahead_of(block, {Role::kGate, Role::kGateUp}, flow.rows);
    mlp_input(c, block, flow, x);
  }
  flow.x.swap(x);
  if (c.residual_is_normed) flow.h = flow.x;
  if (block.router) route(c, block, flow);
}

// x = f(gate(x)) * up(x).
void gate_and_up(const DecoderConfig& c, const Block& block, Flow& flow) {
  Work work(block, {Role::kGate, Role::kUp}, flow.rows);
  OperatorTimer timer("gate, up", work.bytes, work.macs);
  for (auto& v : flow.scratch) v.resize(static_cast<size_t>(flow.rows * c.mlp));
  float *gate = flow.scratch[0].data(), *up = flow.scratch[1].data();
  if (flow.tape) flow.tape->up.resize(flow.scratch[1].size());
  LinearInput& in = flow.input.set(flow.x.data(), flow.rows, c.hidden);
  if (c.gated) block.linear(Role::kGate).run(in, gate, c.mlp);
  block.linear(Role::kUp).run(
      in, up, c.mlp, [=, &c, rows = flow.rows, tape = flow.tape](int64_t first, int64_t last) {
        for (int64_t r = 0; r < rows; ++r) {
          float* y = up + r * c.mlp;
          if (tape) std::copy(y + first, y + last, tape->up.data() + r * c.mlp + first);
          if (c.gated)
            float_ops().activate_times(c.activation, gate + r * c.mlp + first, last - first,
                                       y + first);
          else
            float_ops().activate(c.activation, last - first, y + first);
        }
      });
  if (flow.tape && c.gated) flow.tape->gate.assign(gate, gate + flow.rows * c.mlp);
  flow.x.swap(flow.scratch[1]);
}

// The same of one matrix that gives gate, then up.
void fused_gate_and_up(const DecoderConfig& c, const Block& block, Flow& flow) {
  Work work(block, {Role::kGateUp}, flow.rows);
  OperatorTimer timer("gate, up", work.bytes, work.macs);
  auto &both = flow.scratch[0], &out = flow.scratch[1];
  both.resize(static_cast<size_t>(flow.rows * 2 * c.mlp));
  out.resize(static_cast<size_t>(flow.rows * c.mlp));
  LinearInput& in = flow.input.set(flow.x.data(), flow.rows, c.hidden);
  block.linear(Role::kGateUp).run(in, both.data(), 2 * c.mlp);
  if (flow.tape) {
    flow.tape->gate.resize(out.size());
    flow.tape->up.resize(out.size());
  }
  for_rows(flow.rows, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* row = both.data() + r * 2 * c.mlp;
      float* y = out.data() + r * c.mlp;
      std::copy_n(row + c.mlp, c.mlp, y);
      if (flow.tape) {
        std::copy_n(row, c.mlp, flow.tape->gate.data() + r * c.mlp);
        std::copy_n(y, c.mlp, flow.tape->up.data() + r * c.mlp);
      }
      float_ops().activate_times(c.activation, row, c.mlp, y);
    }
  });
  flow.x.swap(out);
}

}  // namespace

Result<Block> load_block(const Weights& weights, int64_t layer, Activations mode,
                         PackedStore* store) {
  const DecoderConfig& c = weights.config();
  Block b;
  b.index = layer;
  b.layer = c.blocks[static_cast<size_t>(layer)];
  b.experts.resize(static_cast<size_t>(b.layer.experts));
  for (const NormSpec& spec : block_norms(c, layer))
    b.norm(spec.place) = NB_TRY(weights.norm(spec));
  if (b.layer.experts > 0) b.router = NB_TRY(weights.float_linear(router(c, layer)));
  for (const LinearSpec& spec : block_linears(c, layer))
    b.slot(spec) = NB_TRY(weights.linear(spec, mode, store));
  return b;
}

void Block::each(const std::function<void(const Linear&)>& body) const {
  for (const auto& linear : linears)
    if (linear) body(*linear);
  for (const BlockLinears& expert : experts)
    for (const auto& linear : expert)
      if (linear) body(*linear);
}

void enter_block(const DecoderConfig& c, const Block& block, Flow& flow) {
  if (flow.tape) flow.tape->h = flow.h;
  read_ahead_of(block, {Role::kQ, Role::kK, Role::kV, Role::kQkv}, flow.rows);
  norm_into(c, block.norm(NormPlace::kAttentionIn), flow, flow.x);
  if (c.residual_is_normed) flow.h = flow.x;
}

void advance(Stage stage, const DecoderConfig& c, const Block& block, const Positions& positions,
             Flow& flow) {
  if (flow.tape) flow.tape->x[static_cast<size_t>(stage)] = flow.x;
  switch (stage) {
    case Stage::kQkv:
      return attend_to_input(c, block, positions, flow);
    case Stage::kOut:
      return add_attention(c, block, flow);
    case Stage::kGateUp:
      if (block.router) return expert_gate_and_up(c, block, flow);
      return c.fused_gate_up ? fused_gate_and_up(c, block, flow) : gate_and_up(c, block, flow);
    case Stage::kDown:
      add_linear("down", c, block, Role::kDown, NormPlace::kMlpOut, NormPlace::kMlpAfter, flow);
      flow.x.clear();
      return;
  }
}

InputRows input_rows(const float* x, int64_t rows, const Routes& routes, const LinearSpec& spec,
                     std::vector<float>& gathered) {
  if (spec.expert < 0) return {x, rows};
  auto e = static_cast<size_t>(spec.expert);
  int64_t first = routes.first[e], count = routes.first[e + 1] - first;
  if (spec.stage == Stage::kDown) return {x + first * spec.k, count};
  gathered.resize(static_cast<size_t>(count * spec.k));
  for (int64_t i = 0; i < count; ++i)
    std::copy_n(x + routes.row[static_cast<size_t>(first + i)] * spec.k, spec.k,
                gathered.data() + i * spec.k);
  return {gathered.data(), count};
}

}  // namespace nibble
