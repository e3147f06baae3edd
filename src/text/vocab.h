// The two-way table between token spellings and ids.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace nibble {

class Vocab {
 public:
  // Registers a spelling under an id >= 0. Errors name `what` for a spelling or an id that is
  // already taken, and for ids far beyond the number of entries (`expected` of them will come).
  Status add(std::string_view piece, int64_t id, size_t expected, const std::string& what);

  std::optional<int32_t> find(std::string_view piece) const;
  // The spelling; empty for an id that has none.
  std::string_view piece(int64_t id) const;
  bool has(int64_t id) const;
  int64_t size() const { return static_cast<int64_t>(spans_.size()); }  // one more than the last id

 private:
  struct Span {
    uint32_t begin = 0, length = kNone;
  };
  static constexpr uint32_t kNone = ~uint32_t{0};
  Status add_piece(std::string_view piece, int64_t id, size_t expected, const std::string& what);
  size_t slot_of(std::string_view piece) const;
  void grow();

  std::string pool_;
  std::vector<Span> spans_;
  std::vector<int32_t> slots_;  // ids, -1 where empty; at most half full
  size_t used_ = 0;
};

}  // namespace nibble
