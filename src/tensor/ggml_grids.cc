#include "tensor/ggml_grids.h"

#include <algorithm>
#include <cstring>

#include "base/result.h"
#include "tensor/dtype.h"

namespace nibble {
namespace {

// Some bits of every code: element e's begin at bit e % span / width * bits of byte
// offset + e / span * width + e % width, span = 8 * width / bits.
struct Plane {
  int offset = 0, width = 1, bits = 0;
  int mask() const { return (1 << bits) - 1; }
};

// Bytes as one register: a file's matrices pass here when they are loaded, and a compiler takes
// short loops of bytes apart.
template <int kWidth>
struct Bytes {
  using Vector __attribute__((vector_size(kWidth))) = uint8_t;
};
template <>
struct Bytes<1> {
  using Vector = uint8_t;
};

// to ^= (from >> right & mask) << left for kWidth bytes.
template <int kWidth>
void move_bits(const void* from, int right, int mask, int left, void* to) {
  constexpr int kStep = std::min(kWidth, 16);
  using Vector = typename Bytes<kStep>::Vector;
  for (int i = 0; i < kWidth; i += kStep) {
    Vector bits, sum;
    std::memcpy(&bits, static_cast<const std::byte*>(from) + i, sizeof bits);
    std::memcpy(&sum, static_cast<std::byte*>(to) + i, sizeof sum);
    bits = bits >> static_cast<uint8_t>(right) & static_cast<uint8_t>(mask);
    sum ^= bits << static_cast<uint8_t>(left);
    std::memcpy(static_cast<std::byte*>(to) + i, &sum, sizeof sum);
  }
}

// The bits of a plane to bit `to` of `kCount` codes, and back, xored into what stands there.
template <int kCount, Plane kPlane>
void take(const std::byte* block, int to, uint8_t* codes) {
  if constexpr (kPlane.bits > 0)
    for (int e = 0, at = kPlane.offset; e < kCount; at += kPlane.width)
      for (int shift = 0; shift < 8; shift += kPlane.bits, e += kPlane.width)
        move_bits<kPlane.width>(block + at, shift, kPlane.mask(), to, codes + e);
}
template <int kCount, Plane kPlane>
void give(const uint8_t* codes, int from, std::byte* block) {
  if constexpr (kPlane.bits > 0)
    for (int e = 0, at = kPlane.offset; e < kCount; at += kPlane.width)
      for (int shift = 0; shift < 8; shift += kPlane.bits, e += kPlane.width)
        move_bits<kPlane.width>(codes + e, from, kPlane.mask(), shift, block + at);
}

// All bits of the codes of `count` blocks of `bytes` bytes, one after another: low ones, high ones.
struct Codec {
  void (*get)(const std::byte* blocks, int64_t bytes, int64_t count, uint8_t* codes) = nullptr;
  void (*put)(const uint8_t* codes, int64_t bytes, int64_t count, std::byte* blocks) = nullptr;
};
// kFlip: xored into codes that are bytes.
template <int kCount, Plane kLow, Plane kHigh = Plane{}, int kFlip = 0>
constexpr Codec kCodec = {
    [](const std::byte* blocks, int64_t bytes, int64_t count, uint8_t* codes) {
      for (; count > 0; --count, blocks += bytes, codes += kCount) {
        std::memset(codes, kFlip, kCount);
        take<kCount, kLow>(blocks, 0, codes);
        take<kCount, kHigh>(blocks, kLow.bits, codes);
      }
    },
    [](const uint8_t* codes, int64_t bytes, int64_t count, std::byte* blocks) {
      for (; count > 0; --count, blocks += bytes, codes += kCount) {
        std::memset(blocks + kLow.offset, kFlip, kCount * kLow.bits / 8);
        std::memset(blocks + kHigh.offset, 0, kCount * kHigh.bits / 8);
        give<kCount, kLow>(codes, 0, blocks);
        give<kCount, kHigh>(codes, kLow.bits, blocks);
      }
    }};

struct Multiples {
  int scale = 1, low = 1;
};

struct Layout {
  std::string_view type;
  GgmlGrids grids = {};
  Codec codes = {};
  int d = 0, m = -1;  // offsets of float16 numbers; -1: there is none
  // Null where d is the scale itself. put() finds zeros.
  Multiples (*get)(const std::byte* block, int group) = nullptr;
  void (*put)(std::byte* block, int group, Multiples v) = nullptr;
};

int u8(const std::byte* p) { return static_cast<int>(*p); }
void add(std::byte* p, int bits) { *p |= static_cast<std::byte>(bits); }

Multiples q2_k_get(const std::byte* b, int g) { return {u8(b + g) & 15, u8(b + g) >> 4}; }
void q2_k_put(std::byte* b, int g, Multiples v) { add(b + g, v.scale | v.low << 4); }

// 6 bits less 32: low nibbles in `low`, high pairs in `high`.
Multiples q3_k_get(const std::byte* b, int g) {
  const std::byte* s = b + 96;
  int low = u8(s + g % 8) >> (g / 8 * 4) & 15, high = u8(s + 8 + g % 4) >> (g / 4 * 2) & 3;
  return {(low | high << 4) - 32, 0};
}
void q3_k_put(std::byte* b, int g, Multiples v) {
  std::byte* s = b + 96;
  int u = v.scale + 32;
  add(s + g % 8, (u & 15) << (g / 8 * 4));
  add(s + 8 + g % 4, (u >> 4) << (g / 4 * 2));
}

// Q4_K and Q5_K: 6 bits each in 12 bytes.
Multiples q4_k_get(const std::byte* b, int g) {
  const std::byte* s = b + 4;
  if (g < 4) return {u8(s + g) & 63, u8(s + g + 4) & 63};
  return {(u8(s + g + 4) & 15) | u8(s + g - 4) >> 6 << 4, u8(s + g + 4) >> 4 | u8(s + g) >> 6 << 4};
}
void q4_k_put(std::byte* b, int g, Multiples v) {
  std::byte* s = b + 4;
  if (g < 4) {
    add(s + g, v.scale);
    add(s + g + 4, v.low);
    return;
  }
  add(s + g + 4, (v.scale & 15) | (v.low & 15) << 4);
  add(s + g - 4, v.scale >> 4 << 6);
  add(s + g, v.low >> 4 << 6);
}

Multiples q6_k_get(const std::byte* b, int g) {
  return {static_cast<int8_t>(static_cast<uint8_t>(b[192 + g])), 0};
}
void q6_k_put(std::byte* b, int g, Multiples v) { b[192 + g] = static_cast<std::byte>(v.scale); }

Multiples iq4_xs_get(const std::byte* b, int g) {
  int low = u8(b + 4 + g / 2) >> (g % 2 * 4) & 15, high = u8(b + 2 + g / 4) >> (g % 4 * 2) & 3;
  return {(low | high << 4) - 32, 0};
}
void iq4_xs_put(std::byte* b, int g, Multiples v) {
  int u = v.scale + 32;
  add(b + 4 + g / 2, (u & 15) << (g % 2 * 4));
  add(b + 2 + g / 4, (u >> 4) << (g % 4 * 2));
}

std::span<const Layout> layouts() {
  const int8_t* iq4 = iq4_values().data();
  static const Layout list[] = {
      {"Q4_0", {4, 32, 8, false, nullptr, 1, 1, 0}, kCodec<32, Plane{2, 16, 4}>},
      {"Q4_1", {4, 32, 0, true, nullptr, 1, 1, 1}, kCodec<32, Plane{4, 16, 4}>, 0, 2},
      {"Q5_0", {5, 32, 16, false, nullptr, 1, 1, 0}, kCodec<32, Plane{6, 16, 4}, Plane{2, 1, 1}>},
      {"Q5_1",
       {5, 32, 0, true, nullptr, 1, 1, 1},
       kCodec<32, Plane{8, 16, 4}, Plane{4, 1, 1}>,
       0,
       2},
      // Its codes are signed.
      {"Q8_0", {8, 32, 128, false, nullptr, 1, 1, 0}, kCodec<32, Plane{2, 32, 8}, Plane{}, 0x80>},
      {"Q2_K",
       {2, 16, 0, true, nullptr, 0, 15, 15},
       kCodec<256, Plane{16, 32, 2}>,
       80,
       82,
       q2_k_get,
       q2_k_put},
      {"Q3_K",
       {3, 16, 4, false, nullptr, -32, 31, 0},
       kCodec<256, Plane{32, 32, 2}, Plane{0, 32, 1}>,
       108,
       -1,
       q3_k_get,
       q3_k_put},
      {"Q4_K",
       {4, 32, 0, true, nullptr, 0, 63, 63},
       kCodec<256, Plane{16, 32, 4}>,
       0,
       2,
       q4_k_get,
       q4_k_put},
      {"Q5_K",
       {5, 32, 0, true, nullptr, 0, 63, 63},
       kCodec<256, Plane{48, 32, 4}, Plane{16, 32, 1}>,
       0,
       2,
       q4_k_get,
       q4_k_put},
      {"Q6_K",
       {6, 16, 32, false, nullptr, -128, 127, 0},
       kCodec<256, Plane{0, 64, 4}, Plane{128, 32, 2}>,
       208,
       -1,
       q6_k_get,
       q6_k_put},
      {"IQ4_NL", {4, 32, 0, false, iq4, 1, 1, 0}, kCodec<32, Plane{2, 16, 4}>},
      {"IQ4_XS",
       {4, 32, 0, false, iq4, -32, 31, 0},
       kCodec<256, Plane{8, 16, 4}>,
       0,
       -1,
       iq4_xs_get,
       iq4_xs_put},
  };
  return list;
}

// Asked for each block, and most often for the type of the block before.
const Layout* find(const GgmlType& type) {
  thread_local const GgmlType* last = nullptr;
  thread_local const Layout* found = nullptr;
  if (last == &type) return found;
  last = &type;
  found = nullptr;
  for (const Layout& l : layouts())
    if (l.type == type.name) found = &l;
  return found;
}

float half_at(const std::byte* p) {
  uint16_t h;
  std::memcpy(&h, p, sizeof h);
  return f16_to_float(h);
}
void put_half(std::byte* at, float v) {
  uint16_t h = float_to_f16(v);
  std::memcpy(at, &h, sizeof h);
}

// Types of one level add what two-level ones take off.
float low_sign(const Layout& l) { return l.get ? 1 : -1; }

}  // namespace

const GgmlGrids* ggml_grids(const GgmlType& type) {
  const Layout* l = find(type);
  return l ? &l->grids : nullptr;
}

Grid ggml_grid_of(const GgmlGrids& form, const GgmlBase& base, int multiple, int low_multiple) {
  return {.scale = base.d * static_cast<float>(multiple),
          .zero = form.zero,
          .low = form.low ? base.m * static_cast<float>(low_multiple) : 0,
          .multiple = static_cast<int16_t>(multiple),
          .low_multiple = static_cast<int16_t>(form.low ? low_multiple : 0),
          .levels = form.levels};
}

GgmlBase ggml_stored(const GgmlBase& base) {
  return {f16_to_float(float_to_f16(base.d)), f16_to_float(float_to_f16(base.m))};
}

// A float16 number times an integer below 2^8 is exact in float32, and so is the way back.
GgmlBase ggml_base(std::span<const Grid> grids) {
  GgmlBase out;
  for (const Grid& g : grids) {
    if (g.multiple != 0) out.d = g.scale / static_cast<float>(g.multiple);
    if (g.low_multiple != 0) out.m = g.low / static_cast<float>(g.low_multiple);
  }
  return out;
}

Grid ggml_grid(const GgmlType& type, const std::byte* block, int64_t group) {
  const Layout& l = *find(type);
  Multiples v = l.get ? l.get(block, static_cast<int>(group)) : Multiples{};
  GgmlBase base{half_at(block + l.d), l.m < 0 ? 0 : low_sign(l) * half_at(block + l.m)};
  return ggml_grid_of(l.grids, base, v.scale, v.low);
}

void ggml_codes(const GgmlType& type, const std::byte* blocks, int64_t count, uint8_t* codes) {
  find(type)->codes.get(blocks, type.bytes, count, codes);
}

void put_ggml_block(const GgmlType& type, std::span<const Grid> grids, const uint8_t* codes,
                    std::byte* block) {
  const Layout& l = *find(type);
  std::memset(block, 0, static_cast<size_t>(type.bytes));
  GgmlBase base = ggml_base(grids);
  put_half(block + l.d, base.d);
  if (l.m >= 0) put_half(block + l.m, low_sign(l) * base.m);
  for (size_t g = 0; l.put && g < grids.size(); ++g)
    l.put(block, static_cast<int>(g), {grids[g].multiple, grids[g].low_multiple});
  l.codes.put(codes, type.bytes, 1, block);
}

void put_ggml_blocks(const GgmlType& type, int64_t count, const uint16_t* d, const uint16_t* m,
                     const uint8_t* codes, std::byte* blocks) {
  const Layout& l = *find(type);
  NB_CHECK(!l.put);
  for (int64_t b = 0; b < count; ++b) {
    std::byte* block = blocks + b * type.bytes;
    std::memcpy(block + l.d, d + b, sizeof *d);
    if (l.m >= 0) std::memcpy(block + l.m, m + b, sizeof *m);
  }
  l.codes.put(codes, type.bytes, count, blocks);
}

}  // namespace nibble
