#include "model/head.h"

#include <cmath>
#include <vector>

namespace nibble {

void Head::run(LinearInput& h, float* logits) const {
  if (!project_out_) return finish(h, logits);
  int64_t width = linear_->cols();
  std::vector<float> narrow(static_cast<size_t>(h.rows * width));
  project_out_->run(h, narrow.data(), width);
  LinearInput in(narrow.data(), h.rows, width);
  finish(in, logits);
}

void Head::finish(LinearInput& in, float* logits) const {
  int64_t vocab = linear_->rows(), rows = in.rows;
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
