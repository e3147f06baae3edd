#include "tensor/quantized.h"

#include <algorithm>
#include <cstring>

#include "tensor/ggml_grids.h"

namespace nibble {

void pack_bits(const uint8_t* values, int64_t count, int bits, std::byte* out) {
  int64_t bytes = count * bits / 8, padding = (count * bits + 31) / 32 * 4 - bytes;
  // The two widths that most files have, as loops of vectors.
  if (bits == 8) {
    std::memcpy(out, values, static_cast<size_t>(bytes));
    std::fill_n(out + bytes, padding, std::byte{0});
    return;
  }
  if (bits == 4) {
    for (int64_t i = 0; i < bytes; ++i)
      out[i] = static_cast<std::byte>(values[2 * i] | values[2 * i + 1] << 4);
    std::fill_n(out + bytes, padding, std::byte{0});
    if (count % 2) out[bytes] = static_cast<std::byte>(values[count - 1]);
    return;
  }
  uint64_t held = 0;
  int have = 0;
  for (int64_t i = 0; i < count; ++i) {
    held |= uint64_t{values[i]} << have;
    for (have += bits; have >= 8; have -= 8, held >>= 8)
      *out++ = static_cast<std::byte>(held & 0xff);
  }
  for (int64_t i = 0; i < padding; ++i, held >>= 8) *out++ = static_cast<std::byte>(held & 0xff);
}

void unpack_bits(const std::byte* packed, int64_t count, int bits, uint8_t* out) {
  if (bits == 8) {
    std::copy_n(reinterpret_cast<const uint8_t*>(packed), count, out);
    return;
  }
  if (bits == 4) {
    for (int64_t i = 0; i < count / 2; ++i) {
      out[2 * i] = static_cast<uint8_t>(packed[i] & std::byte{15});
      out[2 * i + 1] = static_cast<uint8_t>(packed[i] >> 4);
    }
    if (count % 2) out[count - 1] = static_cast<uint8_t>(packed[count / 2] & std::byte{15});
    return;
  }
  uint64_t held = 0;
  int have = 0;
  auto mask = static_cast<uint64_t>((1 << bits) - 1);
  for (int64_t i = 0; i < count; ++i, have -= bits, held >>= bits) {
    if (have < bits) {
      held |= static_cast<uint64_t>(*packed++) << have;
      have += 8;
    }
    out[i] = static_cast<uint8_t>(held & mask);
  }
}

QuantizedMatrix::QuantizedMatrix(Scheme scheme, int64_t n, int64_t k, TensorView codes,
                                 TensorView scales, std::vector<uint8_t> zeros, uint8_t code_flip)
    : scheme_(scheme),
      n_(n),
      k_(k),
      codes_(std::move(codes)),
      scales_(std::move(scales)),
      zeros_(std::move(zeros)),
      code_flip_(code_flip) {
  NB_CHECK(static_cast<int64_t>(codes_.bytes.size()) == n * row_bytes(scheme, k) || code_flip);
  NB_CHECK(scales_.elements() == scale_count(scheme, n, k));
  NB_CHECK(!scheme.asymmetric() || static_cast<int64_t>(zeros_.size()) == scales_.elements());
}

int64_t QuantizedMatrix::row_bytes(const Scheme& scheme, int64_t k) {
  if (scheme.blocks) return k / scheme.blocks->block * scheme.blocks->bytes;
  return (k * scheme.bits + 31) / 32 * 4;
}

Grid QuantizedMatrix::grid(int64_t row, int64_t group) const {
  if (const GgmlType* type = scheme_.blocks) {
    int64_t groups = type->block / scheme_.group;
    const std::byte* at = codes_.bytes.data() + row * row_bytes(scheme_, k_);
    return ggml_grid(*type, at + group / groups * type->bytes, group % groups);
  }
  int64_t i = scheme_.group == Scheme::kTensor ? 0 : row * groups() + group;
  Grid g;
  to_float(scales_.dtype, scales_.bytes.data() + i * dtype_size(scales_.dtype), 1, &g.scale);
  g.zero = scheme_.asymmetric() ? zeros_[static_cast<size_t>(i)] : scheme_.symmetric_zero();
  return g;
}

void QuantizedMatrix::grids(int64_t row, std::span<Grid> out) const {
  if (scheme_.blocks || scheme_.group == Scheme::kTensor) {
    for (size_t g = 0; g < out.size(); ++g) out[g] = grid(row, static_cast<int64_t>(g));
    return;
  }
  thread_local std::vector<float> scales;
  scales.resize(out.size());
  int64_t first = row * groups();
  to_float(scales_.dtype, scales_.bytes.data() + first * dtype_size(scales_.dtype), groups(),
           scales.data());
  const uint8_t* zeros = scheme_.asymmetric() ? zeros_.data() + first : nullptr;
  for (size_t g = 0; g < out.size(); ++g)
    out[g] = {.scale = scales[g], .zero = zeros ? zeros[g] : scheme_.symmetric_zero()};
}

void QuantizedMatrix::codes(int64_t row, uint8_t* out) const {
  // Signed 8-bit files pad no rows; everything else is padded to words.
  int64_t stride = code_flip_ ? k_ : row_bytes(scheme_, k_);
  const std::byte* from = codes_.bytes.data() + row * stride;
  if (const GgmlType* type = scheme_.blocks) return ggml_codes(*type, from, k_ / type->block, out);
  if (!code_flip_) return unpack_bits(from, k_, scheme_.bits, out);
  // Of its own: bytes may alias the member.
  const std::byte flip{code_flip_};
  for (int64_t i = 0, k = k_; i < k; ++i) out[i] = static_cast<uint8_t>(from[i] ^ flip);
}

void QuantizedMatrix::dequantize(int64_t row, float* out) const {
  if (const GgmlType* type = scheme_.blocks)
    return type->to_float(codes_.bytes.data() + row * row_bytes(scheme_, k_), k_ / type->block,
                          out);
  thread_local std::vector<uint8_t> u;
  u.resize(static_cast<size_t>(k_));
  codes(row, u.data());
  thread_local std::vector<Grid> row_grids;
  row_grids.resize(static_cast<size_t>(groups()));
  grids(row, row_grids);
  int64_t i = 0;
  for (const Grid& grid : row_grids)
    for (int64_t end = std::min(k_, i + group_size()); i < end; ++i)
      out[i] = decode(u[static_cast<size_t>(i)], grid);
}

int64_t QuantizedMatrix::stored_bytes(const Scheme& s, int64_t n, int64_t k) {
  if (s.blocks) return n * row_bytes(s, k);
  int64_t codes = n * (s.bits == 8 ? k : row_bytes(s, k));
  int64_t scales = scale_count(s, n, k) * dtype_size(s.scale_type);
  if (!s.asymmetric()) return codes + scales;
  // A byte a row for a per-tensor scheme: files repeat its zero point, see formats/.
  bool bytes = s.bits == 8 || s.group == Scheme::kTensor;
  int64_t groups = s.group == Scheme::kTensor ? 1 : s.groups(k);
  return codes + scales + (bytes ? n : row_bytes(s, n)) * groups;
}

QuantizedBuilder::QuantizedBuilder(Scheme scheme, int64_t n, int64_t k)
    : scheme_(scheme),
      n_(n),
      k_(k),
      codes_(static_cast<size_t>(n * QuantizedMatrix::row_bytes(scheme, k))) {
  auto count = QuantizedMatrix::scale_count(scheme, n, k);
  scales_.resize(static_cast<size_t>(count * dtype_size(scheme.scale_type)));
  if (scheme.asymmetric()) zeros_.resize(static_cast<size_t>(count));
}

void QuantizedBuilder::set_row(int64_t row, const uint8_t* codes, std::span<const Grid> grids) {
  if (const GgmlType* type = scheme_.blocks) {
    auto groups = static_cast<size_t>(type->block / scheme_.group);
    std::byte* at = codes_.data() + row * QuantizedMatrix::row_bytes(scheme_, k_);
    for (size_t b = 0; b < grids.size() / groups; ++b, at += type->bytes, codes += type->block)
      put_ggml_block(*type, grids.subspan(b * groups, groups), codes, at);
    return;
  }
  pack_bits(codes, k_, scheme_.bits, codes_.data() + row * QuantizedMatrix::row_bytes(scheme_, k_));
  bool one = scheme_.group == Scheme::kTensor;
  if (one && row > 0) return;
  thread_local std::vector<float> scales;
  scales.clear();
  for (const Grid& grid : grids) scales.push_back(grid.scale);
  auto groups = static_cast<int64_t>(grids.size()), first = one ? 0 : row * groups;
  from_float(scheme_.scale_type, scales.data(), groups,
             scales_.data() + first * dtype_size(scheme_.scale_type));
  if (!scheme_.asymmetric()) return;
  for (size_t g = 0; g < grids.size(); ++g)
    zeros_[static_cast<size_t>(first) + g] = static_cast<uint8_t>(grids[g].zero);
}

QuantizedMatrix QuantizedBuilder::finish() {
  if (scheme_.blocks) {
    int64_t bytes = QuantizedMatrix::row_bytes(scheme_, k_);
    return QuantizedMatrix::of_blocks(scheme_, n_, k_,
                                      own_bytes(DType::kU8, {n_, bytes}, std::move(codes_)));
  }
  int64_t columns = QuantizedMatrix::row_bytes(scheme_, k_) / 4;
  auto scale_elements = QuantizedMatrix::scale_count(scheme_, n_, k_);
  std::vector<int64_t> scale_shape = {scale_elements};
  if (scheme_.group != Scheme::kTensor) scale_shape = {n_, scheme_.groups(k_)};
  return {scheme_,
          n_,
          k_,
          own_bytes(DType::kI32, {n_, columns}, std::move(codes_)),
          own_bytes(scheme_.scale_type, std::move(scale_shape), std::move(scales_)),
          std::move(zeros_),
          0};
}

}  // namespace nibble
