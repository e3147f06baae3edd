// Rotary position embedding.
#pragma once

#include <vector>

#include "model/config.h"

namespace nibble {

// Tables of cos and sin for positions [0, capacity). Sources: Su et al. (arXiv 2104.09864); dynamic
// NTK, llama3, yarn (arXiv 2309.00071) and longrope (arXiv 2402.13753) as transformers'
// modeling_rope_utils computes them, in float32 like that.
class Rope {
 public:
  Rope(const RopeSpec& spec, int64_t capacity);
  // Rotates the first dims of one head in place. `longest`: how long its sequence may become.
  void rotate(float* x, int64_t position, int64_t longest) const;
  // Undoes rotate() but for its factor squared: its transpose, which takes a gradient back.
  void rotate_back(float* x, int64_t position, int64_t longest) const;

 private:
  struct Table {
    std::vector<float> cos, sin;  // (capacity, half)
  };
  const Table& table(int64_t longest) const;
  void fill(const RopeSpec& spec, int64_t capacity, bool beyond, Table& out) const;

  int64_t half_, short_context_;
  bool interleaved_;
  Table usual_, short_;  // short_: of sequences within short_context_, if that is above 0
};

}  // namespace nibble
