#include "model/rope.h"

#include <algorithm>

#include "kernels/kernels.h"
#include "model/rope_frequency.h"

namespace nibble {

Rope::Rope(const RopeSpec& spec, int64_t capacity)
    : half_(spec.dims / 2),
      short_context_(spec.kind == RopeSpec::Kind::kLongrope ? spec.original_context : 0),
      interleaved_(spec.interleaved) {
  fill(spec, capacity, true, usual_);
  if (short_context_ > 0) fill(spec, std::min(capacity, short_context_), false, short_);
}

void Rope::fill(const RopeSpec& spec, int64_t capacity, bool beyond, Table& out) const {
  out.cos.resize(static_cast<size_t>(half_ * capacity));
  out.sin.resize(out.cos.size());
  auto scale = static_cast<float>(spec.attention_factor);
  double theta = rope_theta(spec, capacity);
  for (int64_t i = 0; i < half_; ++i) {
    float f = rope_frequency(spec, theta, i, beyond);
    for (int64_t p = 0; p < capacity; ++p) {
      float angle = static_cast<float>(p) * f;
      out.cos[static_cast<size_t>(p * half_ + i)] = std::cos(angle) * scale;
      out.sin[static_cast<size_t>(p * half_ + i)] = std::sin(angle) * scale;
    }
  }
}

const Rope::Table& Rope::table(int64_t longest) const {
  return longest <= short_context_ ? short_ : usual_;
}

void Rope::rotate(float* x, int64_t position, int64_t longest) const {
  const Table& t = table(longest);
  const float *cos = t.cos.data() + position * half_, *sin = t.sin.data() + position * half_;
  const FloatOps& ops = float_ops();
  (interleaved_ ? ops.rotate_neighbors : ops.rotate)(x, cos, sin, half_);
}

void Rope::rotate_back(float* x, int64_t position, int64_t longest) const {
  const Table& t = table(longest);
  const float *cos = t.cos.data() + position * half_, *sin = t.sin.data() + position * half_;
  int64_t step = interleaved_ ? 2 : 1, apart = interleaved_ ? 1 : half_;
  for (int64_t i = 0; i < half_; ++i) {
    float &a = x[i * step], &b = x[i * step + apart];
    float was = a;
    a = was * cos[i] + b * sin[i];
    b = b * cos[i] - was * sin[i];
  }
}

}  // namespace nibble
