// The numbers of Python's `random` module, so that our calibration windows are the peers' windows.
// Source: Matsumoto and Nishimura's MT19937 (init_by_array) and CPython's Lib/random.py.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace nibble {

class PythonRandom {
 public:
  explicit PythonRandom(uint32_t seed);
  uint32_t next();             // 32 bits
  uint32_t below(uint32_t n);  // randrange(n), n >= 1
  double uniform();            // random(): 53 bits in [0, 1)

 private:
  void refill();
  std::array<uint32_t, 624> state_;
  std::size_t at_ = 624;
};

}  // namespace nibble
