// A scheme says what a quantized weight's numbers mean: bits, symmetry, who shares a scale. It says
// nothing of where the bits lie in a file or in a kernel's tiles.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "tensor/dtype.h"

namespace nibble {

enum class Symmetry : uint8_t {
  kSymmetric,   // s = 2 absmax / (2^b - 1), zero at 2^(b-1); 8 bits: absmax / 127, codes -127..127
  kFullRange,   // s = -m / 2^(b-1), m the signed element of largest magnitude: s may be negative
  kAsymmetric,  // s = (max - min) / (2^b - 1), min <= 0 <= max, integer zero point
};

struct GgmlType;

// w{2..8}[g{N}|t][-asym|-full], e.g. "w4g128-asym", or a block type of ggml: "q4_k", "iq4_xs".
struct Scheme {
  static constexpr int64_t kChannel = 0;  // one scale for each output row
  static constexpr int64_t kTensor = -1;  // one scale for the matrix

  int bits = 4;
  Symmetry symmetry = Symmetry::kSymmetric;
  int64_t group = kChannel;  // columns that share a scale; the last group of a row may be short
  DType scale_type = DType::kF16;
  // Where set, matrices lie in blocks of this type and their grids are as GgmlGrids says; bits and
  // group are its own, symmetry decides no more than min_code().
  const GgmlType* blocks = nullptr;

  // The type must be a grid.
  static Scheme of_blocks(const GgmlType& type);
  static Result<Scheme> parse(std::string_view name);
  std::string name() const;

  int levels() const { return 1 << bits; }
  bool asymmetric() const { return symmetry == Symmetry::kAsymmetric; }
  int symmetric_zero() const { return 1 << (bits - 1); }
  // The smallest code in use: 8-bit symmetric leaves out -128 so that kernels may negate.
  int min_code() const { return bits == 8 && symmetry == Symmetry::kSymmetric ? 1 : 0; }
  int max_code() const { return levels() - 1; }
  int64_t group_size(int64_t k) const { return group > 0 && group < k ? group : k; }
  int64_t groups(int64_t k) const { return (k + group_size(k) - 1) / group_size(k); }

  bool operator==(const Scheme&) const = default;
};

}  // namespace nibble
