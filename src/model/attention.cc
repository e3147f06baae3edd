#include <cblas.h>

#include <cmath>

#include "base/checked.h"
#include "base/threads.h"
#include "model/block.h"
#include "model/math.h"

namespace nibble {
namespace {

// Query rows whose scores are held at once: bounds the scratch at 64 x context floats a thread.
constexpr int64_t kQueryRows = 64;

// In place over scores s: (n): softmax of the first `n` after a shift by their maximum.
void softmax(float* s, int64_t n) {
  float top = s[0];
  for (int64_t i = 1; i < n; ++i) top = s[i] > top ? s[i] : top;
  for (int64_t i = 0; i < n; ++i) s[i] = fast_exp(s[i] - top);
  float sums[8] = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int64_t j = 0; j < 8; ++j) sums[j] += s[i + j];
  float total = 0;
  for (; i < n; ++i) total += s[i];
  for (float v : sums) total += v;
  float scale = 1.f / total;
  for (i = 0; i < n; ++i) s[i] *= scale;
}

struct Head {
  const float* q;  // first query row of the tile
  int64_t q_stride;
  const float *keys, *values;  // (capacity, head_dim)
  float* out;                  // first output row, stride q_stride
};

// Queries at positions [first, first + rows) over keys [low, first + rows).
void attend_tile(const Head& head, int64_t first, int64_t rows, int64_t window, int64_t head_dim) {
  int64_t low = window > 0 ? std::max<int64_t>(0, first - window + 1) : 0;
  int64_t span = first + rows - low;
  thread_local std::vector<float> scores;
  scores.assign(static_cast<size_t>(rows * span), 0.f);
  auto d = static_cast<int>(head_dim), n = static_cast<int>(span), m = static_cast<int>(rows);
  auto stride = static_cast<int>(head.q_stride);
  float scale = 1.f / std::sqrt(static_cast<float>(head_dim));
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, n, d, scale, head.q, stride,
              head.keys + low * head_dim, d, 0, scores.data(), n);
  for (int64_t r = 0; r < rows; ++r) {
    float* s = scores.data() + r * span;
    int64_t end = first + r + 1 - low;  // keys [begin, end) are visible to this query
    int64_t begin = window > 0 ? std::max<int64_t>(0, end - window) : 0;
    softmax(s + begin, end - begin);
    std::fill(s, s + begin, 0.f);
    std::fill(s + end, s + span, 0.f);
  }
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, m, d, n, 1, scores.data(), n,
              head.values + low * head_dim, d, 0, head.out, stride);
}

}  // namespace

void attend(const DecoderConfig& c, const Block& block, const Flow& flow, const float* q,
            float* out) {
  int64_t row = 0;
  for (const Slice& s : flow.slices) {
    int64_t tiles = ceil_div(s.count, kQueryRows);
    parallel_for(tiles * c.heads, [&](int64_t job) {
      int64_t h = job / tiles, tile = job % tiles, t = tile * kQueryRows;
      int64_t at = (row + t) * c.q_dim() + h * c.head_dim, kv = h / (c.heads / c.kv_heads);
      Head head{q + at, c.q_dim(), s.cache->keys(block.index, kv), s.cache->values(block.index, kv),
                out + at};
      attend_tile(head, s.position + t, std::min(kQueryRows, s.count - t), block.window,
                  c.head_dim);
    });
    row += s.count;
  }
}

}  // namespace nibble
