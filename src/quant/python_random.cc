#include "quant/python_random.h"

#include <bit>

namespace nibble {

PythonRandom::PythonRandom(uint32_t seed) {
  constexpr uint32_t kN = 624;
  state_[0] = 19650218u;
  for (uint32_t i = 1; i < kN; ++i)
    state_[i] = 1812433253u * (state_[i - 1] ^ state_[i - 1] >> 30) + i;
  uint32_t i = 1;  // init_by_array with the one-word key {seed}
  auto wrap = [&] {
    if (++i >= kN) {
      state_[0] = state_[kN - 1];
      i = 1;
    }
  };
  for (uint32_t k = kN; k > 0; --k) {
    state_[i] = (state_[i] ^ (state_[i - 1] ^ state_[i - 1] >> 30) * 1664525u) + seed;
    wrap();
  }
  for (uint32_t k = kN - 1; k > 0; --k) {
    state_[i] = (state_[i] ^ (state_[i - 1] ^ state_[i - 1] >> 30) * 1566083941u) - i;
    wrap();
  }
  state_[0] = 0x80000000u;
}

void PythonRandom::refill() {
  for (std::size_t i = 0; i < 624; ++i) {
    uint32_t y = (state_[i] & 0x80000000u) | (state_[(i + 1) % 624] & 0x7fffffffu);
    state_[i] = state_[(i + 397) % 624] ^ y >> 1 ^ (y & 1 ? 0x9908b0dfu : 0);
  }
  at_ = 0;
}

uint32_t PythonRandom::next() {
  if (at_ == 624) refill();
  uint32_t y = state_[at_++];
  y ^= y >> 11;
  y ^= y << 7 & 0x9d2c5680u;
  y ^= y << 15 & 0xefc60000u;
  return y ^ y >> 18;
}

uint32_t PythonRandom::below(uint32_t n) {
  int bits = std::bit_width(n);
  uint32_t r;
  do r = next() >> (32 - bits);
  while (r >= n);
  return r;
}

double PythonRandom::uniform() {
  uint32_t a = next() >> 5, b = next() >> 6;
  return (a * 67108864.0 + b) * (1.0 / 9007199254740992.0);
}

}  // namespace nibble
