#include "model/alibi.h"

#include <cmath>

namespace nibble {
namespace {

int64_t largest_power_of_2_up_to(int64_t n) {
  int64_t p = 1;
  while (2 * p <= n) p *= 2;
  return p;
}

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

}  // namespace

float alibi_slope(const DecoderConfig& c, int64_t head) {
  return c.alibi == Alibi::kMpt ? mpt_slope(c.heads, head) : slope(c.heads, head);
}

}  // namespace nibble
