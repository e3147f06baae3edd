// Memory for much data that waits its turn.
#pragma once

#include <span>
#include <string>

#include "base/result.h"

namespace nibble {

// Zeros at first. Private memory, or pages of a nameless file, which the system may write out and
// which are gone when the process ends, however it ends.
class ScratchMemory {
 public:
  ScratchMemory() = default;
  // In `folder`, whose disk must have the room at once; empty: private memory.
  static Result<ScratchMemory> create(int64_t floats, const std::string& folder);
  ScratchMemory(ScratchMemory&& other) noexcept;
  ScratchMemory& operator=(ScratchMemory&& other) noexcept;
  ~ScratchMemory();

  std::span<float> floats() const { return {data_, size_}; }
  // These will not be touched for a while: of a file they leave resident memory. They keep their
  // values.
  void rest(std::span<const float> range) const;

 private:
  float* data_ = nullptr;
  size_t size_ = 0;
  bool in_file_ = false;
};

}  // namespace nibble
