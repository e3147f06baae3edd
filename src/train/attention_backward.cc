// Attention's gradient, 128 queries at a time, with the probabilities computed anew: they are never
// kept (the recomputation of FlashAttention, arXiv 2205.14135, section 3.1).
#include <algorithm>
#include <cmath>

#include "base/checked.h"
#include "base/threads.h"
#include "kernels/kernels.h"
#include "model/blas.h"
#include "train/ops.h"

namespace nibble {
namespace {

constexpr int64_t kQueries = 128;

int to_int(int64_t v) { return static_cast<int>(v); }

// One head of a slice's rows: norms (where the family has them), rotates and collects it.
struct HeadRows {
  const DecoderConfig& c;
  const Norm& norm;
  const Rope* rope;
  int64_t longest;

  // Where the parameters of the norm of head `number` begin.
  int64_t own(int64_t number) const {
    return c.qk_norm == QkNorm::kEachHead ? number * c.head_dim : 0;
  }
  // in: the first row's head, `stride` floats a row. out: (rows, head_dim).
  void gather(int64_t number, const float* in, int64_t stride, int64_t rows, float* out) const {
    int64_t d = c.head_dim;
    for (int64_t t = 0; t < rows; ++t) {
      std::copy_n(in + t * stride, d, out + t * d);
      if (norm) norm_row(c, norm, own(number), d, out + t * d, out + t * d);
      if (rope) rope->rotate(out + t * d, t, longest);
    }
  }
  // The way back: dy (rows, head_dim) is used up; dnorm (head_dim) is added to, or null.
  void scatter(int64_t number, const float* in, int64_t stride, int64_t rows, float* dy, float* dx,
               float* dnorm) const {
    int64_t d = c.head_dim;
    auto weight = [&] {
      return std::span(norm.weight)
          .subspan(static_cast<size_t>(own(number)), static_cast<size_t>(d));
    };
    for (int64_t t = 0; t < rows; ++t) {
      if (rope) rope->rotate_back(dy + t * d, t, longest);
      float* out = dx + t * stride;
      if (!norm) {
        std::copy_n(dy + t * d, d, out);
      } else {
        std::fill_n(out, d, 0.f);
        norm_backward(c, in + t * stride, weight(), dy + t * d, 1, out, dnorm, nullptr);
      }
    }
  }
};

struct Scratch {
  std::vector<float> k, dk, v, dv, q, dq, p, dp, slope;
};

// Softmax over each row's visible keys behind their biases, if any; zero beyond. s: (rows, keys).
void causal_softmax(float* s, int64_t first, int64_t rows, int64_t keys, int64_t window,
                    const float* bias) {
  for (int64_t r = 0; r < rows; ++r) {
    float* row = s + r * keys;
    for (int64_t j = 0; bias && j < keys; ++j) row[j] += bias[j];
    int64_t end = first + r + 1, begin = window > 0 ? std::max<int64_t>(0, end - window) : 0;
    float top = *std::max_element(row + begin, row + end), total = 0;
    for (int64_t j = begin; j < end; ++j) total += row[j] = std::exp(row[j] - top);
    for (int64_t j = begin; j < end; ++j) row[j] /= total;
    std::fill(row, row + begin, 0.f);
    std::fill(row + end, row + keys, 0.f);
  }
}

// s = cap tanh(s / cap); slope: what that does to gradients.
void cap_scores(float cap, std::vector<float>& s, std::vector<float>& slope) {
  slope.resize(s.size());
  for (size_t i = 0; i < s.size(); ++i) {
    float t = std::tanh(s[i] / cap);
    s[i] = cap * t;
    slope[i] = 1 - t * t;
  }
}

// One query head against its keys and values. All (rows, d) of the slice; dk and dv are added to.
void head_backward(const DecoderConfig& c, const Block& block, int64_t rows, const float* bias,
                   const float* out, const float* dout, int64_t stride, Scratch& s) {
  int64_t d = c.head_dim;
  int di = to_int(d);
  auto scale = static_cast<float>(block.layer.attention_scale);
  for (int64_t first = 0; first < rows; first += kQueries) {
    int64_t count = std::min(kQueries, rows - first), keys = first + count;
    s.p.resize(static_cast<size_t>(count * keys));
    s.dp.resize(s.p.size());
    const float *q = s.q.data() + first * d, *go = dout + first * stride;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, to_int(count), to_int(keys), di, scale, q,
                di, s.k.data(), di, 0, s.p.data(), to_int(keys));
    if (c.score_softcap > 0) cap_scores(static_cast<float>(c.score_softcap), s.p, s.slope);
    causal_softmax(s.p.data(), first, count, keys, block.layer.window, bias);
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, to_int(keys), di, to_int(count), 1,
                s.p.data(), to_int(keys), go, to_int(stride), 1, s.dv.data(), di);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, to_int(count), to_int(keys), di, 1, go,
                to_int(stride), s.v.data(), di, 0, s.dp.data(), to_int(keys));
    for (int64_t r = 0; r < count; ++r) {
      const float *o = out + (first + r) * stride, *g = go + r * stride;
      float along = 0;
      for (int64_t i = 0; i < d; ++i) along += o[i] * g[i];
      float *p = s.p.data() + r * keys, *dp = s.dp.data() + r * keys;
      for (int64_t j = 0; j < keys; ++j) dp[j] = p[j] * (dp[j] - along) * scale;
      const float* slope = s.slope.data() + r * keys;
      for (int64_t j = 0; c.score_softcap > 0 && j < keys; ++j) dp[j] *= slope[j];
    }
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, to_int(count), di, to_int(keys), 1,
                s.dp.data(), to_int(keys), s.k.data(), di, 0, s.dq.data() + first * d, di);
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, to_int(keys), di, to_int(count), 1,
                s.dp.data(), to_int(keys), q, di, 1, s.dk.data(), di);
  }
}

// A norm of whole rows of queries or keys: `width` floats at `at` of rows of `stride`.
struct RowNorm {
  const DecoderConfig& c;
  const Norm& norm;
  int64_t at, width, stride, rows;

  void forward(float* qkv) const {
    for (int64_t r = 0; r < rows; ++r)
      norm_row(c, norm, 0, width, qkv + r * stride + at, qkv + r * stride + at);
  }
  // dqkv: of what forward gave, becomes that of its input `qkv`.
  void backward(const float* qkv, float* dqkv, float* dnorm) const {
    std::vector<float> x(static_cast<size_t>(rows * width)), dy(x.size()), dx(x.size());
    for (int64_t r = 0; r < rows; ++r) {
      std::copy_n(qkv + r * stride + at, width, x.data() + r * width);
      std::copy_n(dqkv + r * stride + at, width, dy.data() + r * width);
    }
    norm_backward(c, x.data(), norm.weight, dy.data(), rows, dx.data(), dnorm, nullptr);
    for (int64_t r = 0; r < rows; ++r)
      std::copy_n(dx.data() + r * width, width, dqkv + r * stride + at);
  }
};

// One head of keys and the queries that share it, of one slice's rows.
struct SharedHeads {
  const DecoderConfig& c;
  const Block& block;
  const Positions& positions;
  HeadRows query, key;
  int64_t row, rows;  // of the slice
  int64_t number;     // of the head of keys

  // qkv, dqkv: (all rows, qkv_dim); out, dout: (all rows, q_dim). dnorm: (shared + 1, head_dim) of
  // the norms, the key's last, or null.
  void backward(const float* qkv, const float* out, const float* dout, float* dqkv,
                float* dnorm) const {
    QkvLayout at(c);
    int64_t d = c.head_dim, qd = c.q_dim(), width = c.qkv_dim();
    thread_local Scratch s;
    auto size = static_cast<size_t>(rows * d);
    for (auto* v : {&s.k, &s.v, &s.q, &s.dq}) v->resize(size);
    for (auto* v : {&s.dk, &s.dv}) v->assign(size, 0.f);
    const float* in = qkv + row * width;
    float* back = dqkv + row * width;
    int64_t k = at.k + number * at.k_step, v = at.v + number * at.v_step;
    key.gather(number, in + k, width, rows, s.k.data());
    for (int64_t t = 0; t < rows; ++t) std::copy_n(in + v + t * width, d, s.v.data() + t * d);
    for (int64_t i = 0; i < at.shared; ++i) {
      int64_t head = number * at.shared + i, to = row * qd + head * d;
      int64_t q = at.q + number * at.q_step + i * d;
      query.gather(head, in + q, width, rows, s.q.data());
      head_backward(c, block, rows, positions.bias(head), out + to, dout + to, qd, s);
      query.scatter(head, in + q, width, rows, s.dq.data(), back + q,
                    dnorm ? dnorm + i * d : nullptr);
    }
    key.scatter(number, in + k, width, rows, s.dk.data(), back + k,
                dnorm ? dnorm + at.shared * d : nullptr);
    for (int64_t t = 0; t < rows; ++t) std::copy_n(s.dv.data() + t * d, d, back + v + t * width);
  }
};

}  // namespace

void attention_backward(const DecoderConfig& c, const Block& block, const Positions& positions,
                        std::span<const Slice> slices, const BlockTape& tape, const float* dout,
                        float* dqkv, float* dquery_norm, float* dkey_norm) {
  static const Norm kNone;
  QkvLayout at(c);
  int64_t d = c.head_dim, width = c.qkv_dim(), per_job = (at.shared + 1) * d;
  const std::vector<float>& out = tape.x[static_cast<size_t>(Stage::kOut)];
  std::vector<int64_t> starts = {0};
  for (const Slice& s : slices) starts.push_back(starts.back() + s.count);
  bool whole_rows = c.qk_norm == QkNorm::kRow;
  const Norm &q_norm = block.norm(NormPlace::kQuery), &k_norm = block.norm(NormPlace::kKey);
  RowNorm queries{c, q_norm, at.q, c.q_dim(), width, starts.back()};
  RowNorm keys{c, k_norm, at.k, c.kv_dim(), width, starts.back()};
  std::vector<float> normed;
  if (whole_rows) {
    normed = tape.qkv;
    queries.forward(normed.data());
    keys.forward(normed.data());
  }
  const float* qkv = whole_rows ? normed.data() : tape.qkv.data();
  auto jobs = static_cast<int64_t>(slices.size()) * c.kv_heads;
  bool norms = dquery_norm != nullptr && c.qk_norm != QkNorm::kNone && !whole_rows;
  std::vector<float> dnorms(norms ? static_cast<size_t>(jobs * per_job) : 0);
  parallel_for(jobs, [&](int64_t job) {
    auto slice = static_cast<size_t>(job / c.kv_heads);
    int64_t longest = slices[slice].cache->capacity();
    const Rope* rope = positions.rope(block.layer);
    SharedHeads heads{c,
                      block,
                      positions,
                      {c, whole_rows ? kNone : q_norm, rope, longest},
                      {c, whole_rows ? kNone : k_norm, rope, longest},
                      starts[slice],
                      slices[slice].count,
                      job % c.kv_heads};
    heads.backward(qkv, out.data(), dout, dqkv, norms ? dnorms.data() + job * per_job : nullptr);
  });
  bool own = c.qk_norm == QkNorm::kEachHead;
  for (int64_t job = 0; norms && job < jobs; ++job) {
    int64_t number = job % c.kv_heads;
    for (int64_t i = 0; i <= at.shared; ++i) {
      const float* from = dnorms.data() + job * per_job + i * d;
      float* to = i == at.shared ? dkey_norm + (own ? number * d : 0)
                                 : dquery_norm + (own ? (number * at.shared + i) * d : 0);
      for (int64_t j = 0; j < d; ++j) to[j] += from[j];
    }
  }
  if (!whole_rows) return;
  queries.backward(tape.qkv.data(), dqkv, dquery_norm);
  keys.backward(tape.qkv.data(), dqkv, dkey_norm);
}

}  // namespace nibble
