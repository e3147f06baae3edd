#include "model/positions.h"

#include "base/checked.h"
#include "tensor/dtype.h"

namespace nibble {
namespace {

int64_t largest_power_of_2_up_to(int64_t n) {
  int64_t p = 1;
  while (2 * p <= n) p *= 2;
  return p;
}

float bf16(float x) { return bf16_to_float(float_to_bf16(x)); }

// The paper's slopes 2^(-8 (i + 1) / n). For n no power of two, those of the power below and then
// every second one of the power above it.
float slope(int64_t heads, int64_t head) {
  int64_t below = largest_power_of_2_up_to(heads);
  auto power = [](int64_t n, int64_t i) {
    auto base = static_cast<float>(std::pow(2., -8. / static_cast<double>(n)));
    return std::pow(base, static_cast<float>(i));
  };
  return head < below ? power(below, head + 1) : power(2 * below, 2 * (head - below) + 1);
}

// MPT, as transformers runs it whatever its alibi_bias_max, takes the power above throughout: first
// its second, fourth ... slope, then the others.
float mpt_slope(int64_t heads, int64_t head) {
  int64_t above = largest_power_of_2_up_to(heads);
  if (above < heads) above *= 2;
  int64_t i = head;
  if (above != heads) i = head < above / 2 ? 2 * head + 1 : 2 * (head - above / 2);
  return 1.f / std::pow(2.f, static_cast<float>(i + 1) * (8.f / static_cast<float>(above)));
}

float alibi(const DecoderConfig& c, int64_t head, int64_t position) {
  auto p = static_cast<float>(position);
  switch (c.alibi) {
    case Alibi::kNone:
      return 0;
    case Alibi::kBloom:
      return slope(c.heads, head) * p;
    case Alibi::kFalcon:
      return static_cast<float>(c.alibi_factor) * bf16(bf16(slope(c.heads, head)) * bf16(p)) /
             std::sqrt(static_cast<float>(c.head_dim));
    case Alibi::kMpt:
      return mpt_slope(c.heads, head) * p;
  }
  return 0;
}

}  // namespace

Positions::Positions(const DecoderConfig& c, int64_t capacity)
    : capacity_(capacity), bias_stride_(ceil_div(capacity, kKeyPanel) * kKeyPanel) {
  for (const RopeSpec& spec : c.ropes) ropes_.emplace_back(spec, capacity);
  if (c.alibi == Alibi::kNone) return;
  for (int64_t head = 0; head < c.heads; ++head)
    for (int64_t p = 0; p < bias_stride_; ++p) bias_.push_back(alibi(c, head, p));
}

}  // namespace nibble
