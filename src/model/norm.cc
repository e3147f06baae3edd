#include "model/norm.h"

#include "base/checked.h"
#include "base/threads.h"
#include "kernels/kernels.h"

namespace nibble {
namespace {

// Rows that one chunk of an elementwise pass takes; below it threads cost more than they give.
constexpr int64_t kRowChunk = 32;

}  // namespace

void norm_row(const DecoderConfig& c, const Norm& norm, int64_t at, int64_t size, const float* x,
              float* y) {
  const float* weight = norm.weight.data() + at;
  if (c.norm != NormKind::kLayer) return float_ops().rms_norm(x, size, weight, c.norm_eps, y);
  const float* bias = norm.bias.empty() ? nullptr : norm.bias.data() + at;
  float_ops().layer_norm(x, size, weight, bias, c.norm_eps, y);
}

void norm_rows(const DecoderConfig& c, const Norm& norm, const float* x, int64_t rows, float* y) {
  auto n = static_cast<int64_t>(norm.weight.size());
  for_rows(rows, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * n; i < end * n; i += n) norm_row(c, norm, 0, n, x + i, y + i);
  });
}

void for_rows(int64_t rows, FunctionRef<void(int64_t, int64_t)> body) {
  parallel_for(ceil_div(rows, kRowChunk),
               [&](int64_t c) { body(c * kRowChunk, std::min(rows, (c + 1) * kRowChunk)); });
}

}  // namespace nibble
