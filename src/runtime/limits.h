// How fast this machine can go at all: what decoding and prefill are held against.
#pragma once

#include <cstdint>
#include <memory>

#include "base/result.h"

namespace nibble {

// One look at the machine, all threads in use (set_threads) together.
struct Limits {
  double read_bytes = 0;  // bytes a second, read as streams from memory
  double macs = 0;        // multiply_registers a second; 0 where the kernel table has no such loop
};

class LimitMeter {
 public:
  // Takes memory too large for any cache to read from, and keeps it; fails where the machine has
  // none for it.
  static Result<LimitMeter> open();
  // Some tens of milliseconds. The machine's pace changes: one look is good for what runs beside
  // it, and several make a figure.
  Limits look() const;

 private:
  struct Unmap {
    int64_t size;
    void operator()(uint64_t* words) const;
  };
  explicit LimitMeter(std::unique_ptr<uint64_t[], Unmap> memory) : memory_(std::move(memory)) {}
  std::unique_ptr<uint64_t[], Unmap> memory_;
};

}  // namespace nibble
