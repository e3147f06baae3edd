// KernelTable::multiply_registers: how fast a core multiplies when nothing comes from memory.
#pragma once

#include <arm_neon.h>

#include <cstdint>

namespace nibble {
namespace {

// `Multiply` has a Sum, add(sum, u, s), and kMacs, the multiply-accumulates of one add.
template <class Multiply>
int64_t multiply_registers_with(int64_t rounds) {
  // Sums in flight: latency (4) x the widest cores' rate (4 a cycle).
  constexpr int kSums = 16;
  int8x16_t u = vdupq_n_s8(3), s = vdupq_n_s8(2);
  typename Multiply::Sum sums[kSums] = {};
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 16
    for (auto& sum : sums) {
      __asm__ volatile("" : "+w"(u));  // a new product each time
      sum = Multiply::add(sum, u, s);
    }
  }
#pragma GCC unroll 16
  for (auto& sum : sums) __asm__ volatile("" : : "w"(sum));
  return rounds * kSums * Multiply::kMacs;
}

}  // namespace
}  // namespace nibble
