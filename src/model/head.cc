#include "model/head.h"

#include <cmath>
#include <vector>

namespace nibble {

void Head::run(const float* h, int64_t rows, float* logits) const {
  std::vector<float> narrow;
  int64_t width = linear_->cols(), vocab = linear_->rows();
  if (project_out_) {
    narrow.resize(static_cast<size_t>(rows * width));
    LinearInput in(h, rows, project_out_->cols());
    project_out_->run(in, narrow.data(), width);
    h = narrow.data();
  }
  LinearInput in(h, rows, width);
  if (scale_ == 1 && softcap_ == 0) return linear_->run(in, logits, vocab);
  linear_->run(in, logits, vocab, [=, this](int64_t first, int64_t last) {
    for (int64_t r = 0; r < rows; ++r)
      for (float* y = logits + r * vocab + first; y != logits + r * vocab + last; ++y) {
        *y *= scale_;
        if (softcap_ > 0) *y = softcap_ * std::tanh(*y / softcap_);
      }
  });
}

int64_t Head::read_bytes() const {
  return linear_->read_bytes() + (project_out_ ? project_out_->read_bytes() : 0);
}

}  // namespace nibble
