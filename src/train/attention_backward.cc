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

  // in: the first row's head, `stride` floats a row. out: (rows, head_dim).
  void gather(const float* in, int64_t stride, int64_t rows, float* out) const {
    int64_t d = c.head_dim;
    for (int64_t t = 0; t < rows; ++t) {
      std::copy_n(in + t * stride, d, out + t * d);
      if (norm) norm_row(c, norm, 0, d, out + t * d, out + t * d);
      if (rope) rope->rotate(out + t * d, t, longest);
    }
  }
  // The way back: dy (rows, head_dim) is used up; dnorm (head_dim) is added to, or null.
  void scatter(const float* in, int64_t stride, int64_t rows, float* dy, float* dx,
               float* dnorm) const {
    int64_t d = c.head_dim;
    for (int64_t t = 0; t < rows; ++t) {
      if (rope) rope->rotate_back(dy + t * d, t, longest);
      float* out = dx + t * stride;
      if (!norm) {
        std::copy_n(dy + t * d, d, out);
      } else {
        std::fill_n(out, d, 0.f);
        norm_backward(c, in + t * stride, norm.weight, dy + t * d, 1, out, dnorm, nullptr);
      }
    }
  }
};

struct Scratch {
  std::vector<float> k, dk, v, dv, q, dq, p, dp, o, dout;
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

// One query head against its keys and values. All (rows, d) of the slice; dk and dv are added to.
void head_backward(const Block& block, int64_t rows, int64_t d, const float* bias, const float* out,
                   const float* dout, int64_t stride, Scratch& s) {
  int di = to_int(d);
  auto scale = static_cast<float>(block.layer.attention_scale);
  for (int64_t first = 0; first < rows; first += kQueries) {
    int64_t count = std::min(kQueries, rows - first), keys = first + count;
    s.p.resize(static_cast<size_t>(count * keys));
    s.dp.resize(s.p.size());
    const float *q = s.q.data() + first * d, *go = dout + first * stride;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, to_int(count), to_int(keys), di, scale, q,
                di, s.k.data(), di, 0, s.p.data(), to_int(keys));
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
    }
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, to_int(count), di, to_int(keys), 1,
                s.dp.data(), to_int(keys), s.k.data(), di, 0, s.dq.data() + first * d, di);
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, to_int(keys), di, to_int(count), 1,
                s.dp.data(), to_int(keys), q, di, 1, s.dk.data(), di);
  }
}

}  // namespace

void attention_backward(const DecoderConfig& c, const Block& block, const Positions& positions,
                        std::span<const Slice> slices, const BlockTape& tape, const float* dout,
                        float* dqkv, float* dquery_norm, float* dkey_norm) {
  QkvLayout at(c);
  int64_t d = c.head_dim, qd = c.q_dim(), width = c.qkv_dim();
  const std::vector<float>& out = tape.x[static_cast<size_t>(Stage::kOut)];
  std::vector<int64_t> starts = {0};
  for (const Slice& s : slices) starts.push_back(starts.back() + s.count);
  auto jobs = static_cast<int64_t>(slices.size()) * c.kv_heads;
  bool norms = dquery_norm != nullptr && c.qk_norm != QkNorm::kNone;
  std::vector<float> dnorms(norms ? static_cast<size_t>(jobs * 2 * d) : 0);
  parallel_for(jobs, [&](int64_t job) {
    auto slice = static_cast<size_t>(job / c.kv_heads);
    int64_t row = starts[slice], h = job % c.kv_heads, rows = starts[slice + 1] - row;
    int64_t longest = slices[slice].cache->capacity();
    const Rope* rope = positions.rope(block.layer);
    HeadRows query{c, block.norm(NormPlace::kQuery), rope, longest};
    HeadRows key{c, block.norm(NormPlace::kKey), rope, longest};
    thread_local Scratch s;
    auto size = static_cast<size_t>(rows * d);
    for (auto* v : {&s.k, &s.v, &s.q, &s.dq}) v->resize(size);
    for (auto* v : {&s.dk, &s.dv}) v->assign(size, 0.f);
    const float* in = tape.qkv.data() + row * width;
    float* back = dqkv + row * width;
    int64_t k = at.k + h * at.k_step, v = at.v + h * at.v_step;
    key.gather(in + k, width, rows, s.k.data());
    for (int64_t t = 0; t < rows; ++t) std::copy_n(in + v + t * width, d, s.v.data() + t * d);
    float* dnorm = norms ? dnorms.data() + job * 2 * d : nullptr;
    for (int64_t i = 0; i < at.shared; ++i) {
      int64_t head = h * at.shared + i, to = row * qd + head * d;
      int64_t q = at.q + h * at.q_step + i * d;
      query.gather(in + q, width, rows, s.q.data());
      head_backward(block, rows, d, positions.bias(head), out.data() + to, dout + to, qd, s);
      query.scatter(in + q, width, rows, s.dq.data(), back + q, dnorm);
    }
    key.scatter(in + k, width, rows, s.dk.data(), back + k, dnorm ? dnorm + d : nullptr);
    for (int64_t t = 0; t < rows; ++t) std::copy_n(s.dv.data() + t * d, d, back + v + t * width);
  });
  for (int64_t job = 0; norms && job < jobs; ++job)
    for (int64_t i = 0; i < d; ++i) {
      dquery_norm[i] += dnorms[static_cast<size_t>(job * 2 * d + i)];
      dkey_norm[i] += dnorms[static_cast<size_t>(job * 2 * d + d + i)];
    }
}

}  // namespace nibble
