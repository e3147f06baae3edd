// A quantized matrix in the canonical layout: what methods produce, files hold and packers read.
#pragma once

#include <memory>
#include <vector>

#include "tensor/grid.h"
#include "tensor/scheme.h"
#include "tensor/view.h"

namespace nibble {

// W: (n, k). Codes are unsigned, `scheme.bits` wide, dense along k with the low bits first, each
// row padded to a 32-bit word. Scales: (n, groups) of scheme.scale_type, one for a per-tensor
// scheme. Zero points: (n, groups), asymmetric schemes only; else scheme.symmetric_zero().
// Schemes of ggml's blocks: codes and scales lie as GGUF files have them, (n, row_bytes) of U8, and
// there are no scales beside.
// Bytes may lie in a mapped file; `code_flip` is xored into every 8-bit code (0x80 where the file
// stores them signed).
class QuantizedMatrix {
 public:
  QuantizedMatrix() = default;
  // Takes over stored bytes. The caller has checked their sizes against row_bytes and scale_count.
  QuantizedMatrix(Scheme scheme, int64_t n, int64_t k, TensorView codes, TensorView scales,
                  std::vector<uint8_t> zeros, uint8_t code_flip);
  // The same of a scheme of blocks. blocks: U8 (n, row_bytes).
  static QuantizedMatrix of_blocks(const Scheme& scheme, int64_t n, int64_t k, TensorView blocks) {
    return {scheme, n, k, std::move(blocks), own_bytes(DType::kF16, {0}, {}), {}, 0};
  }

  static int64_t row_bytes(const Scheme& scheme, int64_t k);
  static int64_t scale_count(const Scheme& scheme, int64_t n, int64_t k) {
    return scheme.blocks ? 0 : scheme.group == Scheme::kTensor ? 1 : n * scheme.groups(k);
  }

  const Scheme& scheme() const { return scheme_; }
  int64_t rows() const { return n_; }
  int64_t cols() const { return k_; }
  int64_t groups() const { return scheme_.group == Scheme::kTensor ? 1 : scheme_.groups(k_); }
  int64_t group_size() const { return scheme_.group_size(k_); }

  Grid grid(int64_t row, int64_t group) const;
  // All of a row's. out: (groups).
  void grids(int64_t row, std::span<Grid> out) const;
  // Unsigned codes of one row. out: (k).
  void codes(int64_t row, uint8_t* out) const;
  // Values of one row. out: (k).
  void dequantize(int64_t row, float* out) const;

  const TensorView& code_view() const { return codes_; }
  const TensorView& scale_view() const { return scales_; }
  std::span<const uint8_t> zeros() const { return zeros_; }
  uint8_t code_flip() const { return code_flip_; }
  // Bytes of codes, scales and zero points as to_compressed_tensors stores them.
  static int64_t stored_bytes(const Scheme& scheme, int64_t n, int64_t k);
  int64_t stored_bytes() const { return stored_bytes(scheme_, n_, k_); }

 private:
  Scheme scheme_;
  int64_t n_ = 0, k_ = 0;
  TensorView codes_, scales_;
  std::vector<uint8_t> zeros_;
  uint8_t code_flip_ = 0;
};

// Builds a matrix row by row; rows may be set from different threads.
class QuantizedBuilder {
 public:
  QuantizedBuilder(Scheme scheme, int64_t n, int64_t k);
  // codes: (k) unsigned; grids: (groups) with scales that the scale type, or the block type's d and
  // multiples, can hold exactly.
  void set_row(int64_t row, const uint8_t* codes, std::span<const Grid> grids);
  QuantizedMatrix finish();

 private:
  Scheme scheme_;
  int64_t n_, k_;
  std::vector<std::byte> codes_, scales_;
  std::vector<uint8_t> zeros_;
};

// Packs `count` values of `bits` bits, low bits first, into little-endian bytes; unused bits of the
// last 32-bit word are zero. out holds ceil(count * bits / 32) words.
void pack_bits(const uint8_t* values, int64_t count, int bits, std::byte* out);
void unpack_bits(const std::byte* packed, int64_t count, int bits, uint8_t* out);

}  // namespace nibble
