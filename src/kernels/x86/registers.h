// KernelTable::multiply_registers: how fast a core multiplies when nothing comes from memory.
#pragma once

#include <cstdint>

namespace nibble {
namespace {

// `Multiply` has a Vector of bytes and add(sum, u, s), one multiply-accumulate of each byte.
template <class Multiply>
int64_t multiply_registers_with(int64_t rounds) {
  // Sums in flight: latency (5) x rate (2 a cycle) and no more than leaves registers for u and s.
  constexpr int kSums = 12;
  using Vector = typename Multiply::Vector;
  Vector u = Vector{} + 0x0303030303030303, s = Vector{} + 0x0202020202020202, sums[kSums] = {};
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 12
    for (Vector& sum : sums) {
      __asm__ volatile("" : "+v"(u));  // a new product each time
      sum = Multiply::add(sum, u, s);
    }
  }
#pragma GCC unroll 12
  for (Vector& sum : sums) __asm__ volatile("" : : "v"(sum));
  return rounds * kSums * static_cast<int64_t>(sizeof(Vector));
}

}  // namespace
}  // namespace nibble
