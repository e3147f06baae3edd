// A stored matrix whose rows become floats one at a time, because all of them together would be
// several times as large as what is stored.
#pragma once

#include <cstdint>

namespace nibble {

class RowSource {
 public:
  virtual ~RowSource() = default;
  virtual int64_t rows() const = 0;
  virtual int64_t cols() const = 0;
  virtual int64_t stored_bytes() const = 0;
  // Columns whose inputs share a scale where the format's own runtime multiplies in int8.
  virtual int64_t block() const = 0;
  // out: (cols). Any number of threads may call it.
  virtual void decode(int64_t row, float* out) const = 0;
};

}  // namespace nibble
