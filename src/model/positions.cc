#include "model/positions.h"

#include "base/checked.h"
#include "model/alibi.h"
#include "tensor/dtype.h"

namespace nibble {
namespace {

float bf16(float x) { return bf16_to_float(float_to_bf16(x)); }

float alibi(const DecoderConfig& c, int64_t head, int64_t position) {
  auto p = static_cast<float>(position);
  switch (c.alibi) {
    case Alibi::kNone:
      return 0;
    case Alibi::kBloom:
    case Alibi::kMpt:
      return alibi_slope(c, head) * p;
    case Alibi::kFalcon:
      return static_cast<float>(c.alibi_factor) * bf16(bf16(alibi_slope(c, head)) * bf16(p)) /
             std::sqrt(static_cast<float>(c.head_dim));
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
