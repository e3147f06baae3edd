#include "train/kl.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/checked.h"
#include "base/threads.h"
#include "kernels/floats/lanes.h"
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
  for (int64_t i = 0; m.bias && i < rows * vocab; ++i) out[i] += m.bias[i % vocab];
  for (int64_t i = 0; m.softcap > 0 && i < rows * vocab; ++i)
    out[i] = m.softcap * std::tanh(out[i] / m.softcap);
}

// What softmax divides by: exp(x - most) summed.
struct Normalizer {
  float most, total;
};

// y = exp(x - the largest x).
Normalizer exponentials(const float* x, int64_t n, float* y) {
  Normalizer z = {*std::max_element(x, x + n), 0};
  Lanes sums = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    Lanes e = exp(load(x + i) - z.most);
    store(y + i, e);
    sums += e;
  }
  for (; i < n; ++i) z.total += y[i] = std::exp(x[i] - z.most);
  z.total += sum(sums);
  return z;
}

// KL of one row of logits. p and q: scratch (n); q becomes the gradient by the student's logits,
// times weight.
double row_backward(const float* teacher, const float* student, int64_t n, float weight, float* p,
                    float* q) {
  Normalizer zp = exponentials(teacher, n, p), zq = exponentials(student, n, q);
  float tp = weight / zp.total, tq = weight / zq.total;
  double along = 0;
  for (int64_t i = 0; i < n; ++i) {
    along += static_cast<double>(p[i] * (teacher[i] - student[i]));
    q[i] = q[i] * tq - p[i] * tp;
  }
  return along / zp.total - (zp.most + std::log(static_cast<double>(zp.total))) +
         (zq.most + std::log(static_cast<double>(zq.total)));
}

}  // namespace

double kl_backward(const HeadInput& teacher, const HeadInput& student, int64_t rows, int64_t vocab,
                   int64_t hidden, float weight, float* dhidden) {
  int64_t step = std::clamp<int64_t>(kLogits / vocab, 1, kRows), chunks = ceil_div(rows, step);
  std::vector<double> sums(static_cast<size_t>(chunks));
  parallel_for(chunks, [&](int64_t chunk) {
    int64_t row = chunk * step, count = std::min(step, rows - row);
    thread_local std::vector<float> theirs, ours, p, gradient;
    for (auto* v : {&theirs, &ours, &gradient}) v->resize(static_cast<size_t>(step * vocab));
    p.resize(static_cast<size_t>(vocab));
    make_logits(teacher, row, count, vocab, hidden, theirs.data());
    make_logits(student, row, count, vocab, hidden, ours.data());
    for (int64_t at = 0; at < count * vocab; at += vocab)
      sums[static_cast<size_t>(chunk)] += row_backward(theirs.data() + at, ours.data() + at, vocab,
                                                       weight, p.data(), gradient.data() + at);
    for (int64_t i = 0; student.softcap > 0 && i < count * vocab; ++i) {
      float t = ours[static_cast<size_t>(i)] / student.softcap;
      gradient[static_cast<size_t>(i)] *= 1 - t * t;
    }
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, static_cast<int>(count),
                static_cast<int>(hidden), static_cast<int>(vocab), 1, gradient.data(),
                static_cast<int>(vocab), student.head, static_cast<int>(hidden), 0,
                dhidden + row * hidden, static_cast<int>(hidden));
  });
  double total = 0;
  for (double s : sums) total += s;
  return total;
}

}  // namespace nibble
