#include "train/kl.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/checked.h"
#include "base/threads.h"
#include "model/blas.h"

namespace nibble {
namespace {

constexpr int64_t kLogits = int64_t{1} << 20;  // of one model that a thread holds at once
constexpr int64_t kRows = 64;

void make_logits(const HeadInput& m, int64_t row, int64_t rows, int64_t vocab, int64_t hidden,
                 float* out) {
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, static_cast<int>(rows),
              static_cast<int>(vocab), static_cast<int>(hidden), 1, m.hidden + row * hidden,
              static_cast<int>(hidden), m.head, static_cast<int>(hidden), 0, out,
              static_cast<int>(vocab));
}

// Takes log(sum(exp)) off every logit.
void log_softmax(float* x, int64_t n) {
  float top = *std::max_element(x, x + n), total = 0;
  for (int64_t i = 0; i < n; ++i) total += std::exp(x[i] - top);
  float normalizer = top + std::log(total);
  for (int64_t i = 0; i < n; ++i) x[i] -= normalizer;
}

// KL of one row of log-probabilities; q becomes the gradient of it by the student's logits, times
// weight.
double row_backward(const float* p, float* q, int64_t n, float weight) {
  double total = 0;
  for (int64_t i = 0; i < n; ++i) {
    float teacher = std::exp(p[i]), student = std::exp(q[i]);
    total += static_cast<double>(teacher) * (p[i] - q[i]);
    q[i] = (student - teacher) * weight;
  }
  return total;
}

}  // namespace

double kl_backward(const HeadInput& teacher, const HeadInput& student, int64_t rows, int64_t vocab,
                   int64_t hidden, float weight, float* dhidden) {
  int64_t step = std::clamp<int64_t>(kLogits / vocab, 1, kRows), chunks = ceil_div(rows, step);
  std::vector<double> sums(static_cast<size_t>(chunks));
  parallel_for(chunks, [&](int64_t chunk) {
    int64_t row = chunk * step, count = std::min(step, rows - row);
    thread_local std::vector<float> p, q;
    p.resize(static_cast<size_t>(step * vocab));
    q.resize(p.size());
    make_logits(teacher, row, count, vocab, hidden, p.data());
    make_logits(student, row, count, vocab, hidden, q.data());
    for (int64_t r = 0; r < count; ++r) {
      log_softmax(p.data() + r * vocab, vocab);
      log_softmax(q.data() + r * vocab, vocab);
      sums[static_cast<size_t>(chunk)] +=
          row_backward(p.data() + r * vocab, q.data() + r * vocab, vocab, weight);
    }
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, static_cast<int>(count),
                static_cast<int>(hidden), static_cast<int>(vocab), 1, q.data(),
                static_cast<int>(vocab), student.head, static_cast<int>(hidden), 0,
                dhidden + row * hidden, static_cast<int>(hidden));
  });
  double total = 0;
  for (double s : sums) total += s;
  return total;
}

}  // namespace nibble
