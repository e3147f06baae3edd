// The rows of a GGUF matrix that the converter has put in another order than the folder it read.
// Source: ggml-org/llama.cpp, conversion/llama.py (permute), falcon.py, bloom.py, gptneox.py.
#pragma once

#include <cstdint>

namespace nibble {

struct RowOrder {
  enum class Kind : uint8_t {
    kPlain,
    kPairs,   // of a head: its rows i and i + half, which rotate together, lie side by side
    kBlocks,  // all queries, then keys, then values, where the folder has them by groups of heads
  };
  Kind kind = Kind::kPlain;
  int64_t head_dim = 0, heads = 0, kv_heads = 0;  // the latter two: kBlocks only

  bool plain() const { return kind == Kind::kPlain; }
  // Where the file has the folder's row.
  int64_t source(int64_t row) const {
    if (kind == Kind::kPlain) return row;
    int64_t head = row / head_dim, i = row % head_dim;
    if (kind == Kind::kPairs) {
      int64_t half = head_dim / 2;
      return head * head_dim + i % half * 2 + i / half;
    }
    int64_t queries = heads / kv_heads, group = head / (queries + 2), at = head % (queries + 2);
    int64_t block = at < queries    ? group * queries + at
                    : at == queries ? heads + group
                                    : heads + kv_heads + group;
    return block * head_dim + i;
  }
};

}  // namespace nibble
