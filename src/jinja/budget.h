// What one rendering may cost: a template is a program by a stranger.
#pragma once

#include <cstdint>

#include "base/result.h"

namespace nibble::jinja {

struct Limits {
  int64_t steps = 10'000'000;             // nodes evaluated, items visited, 64-byte pieces copied
  int64_t live_bytes = int64_t{1} << 28;  // of all values that exist at one time
  int64_t output_bytes = int64_t{1} << 26;
  int64_t depth = 400;  // of statements, expressions and calls inside one another
};

class Budget {
 public:
  explicit Budget(const Limits& limits) : limits_(limits) {}

  Status step(int64_t count = 1) {
    steps_ += count;
    if (steps_ <= limits_.steps) return {};
    return fail("the template takes more than {} steps", limits_.steps);
  }
  // For work on text of so many bytes.
  Status work(size_t bytes) { return step(1 + static_cast<int64_t>(bytes / 64)); }
  Status hold(int64_t bytes) {
    live_ += bytes;
    if (live_ <= limits_.live_bytes) return {};
    return fail("the template's values take more than {} bytes", limits_.live_bytes);
  }
  void release(int64_t bytes) { live_ -= bytes; }
  Status check_output(size_t bytes) const {
    if (static_cast<int64_t>(bytes) <= limits_.output_bytes) return {};
    return fail("the template writes more than {} bytes", limits_.output_bytes);
  }
  Status enter() {
    if (++depth_ <= limits_.depth) return {};
    return fail("the template nests or calls itself deeper than {}", limits_.depth);
  }
  void leave() { --depth_; }

 private:
  Limits limits_;
  int64_t steps_ = 0, live_ = 0, depth_ = 0;
};

// One level of nesting while it lives; check `status` first.
class Nested {
 public:
  explicit Nested(Budget& budget) : status(budget.enter()), budget_(budget) {}
  ~Nested() { budget_.leave(); }
  Nested(const Nested&) = delete;
  Nested& operator=(const Nested&) = delete;

  Status status;

 private:
  Budget& budget_;
};

}  // namespace nibble::jinja
