// Vectors of kRows rows x 4 columns in the widest registers that the folder is compiled for: loads,
// unpacking, stores. Everything in x86/ is local to the file that includes it, so that no copy
// compiled with a folder's flags is ever linked elsewhere.
#pragma once

#include "kernels/table.h"
#if defined(__AVX512F__)
#include "kernels/x86/zmm.h"
#else
#include "kernels/x86/ymm.h"
#endif

namespace nibble {
namespace {

NIBBLE_INLINE Vector broadcast4(const int8_t* p) {
  int v;
  __builtin_memcpy(&v, p, 4);
  return all(v);
}

NIBBLE_INLINE Vector broadcast_pair(const uint32_t* p) { return all(static_cast<int>(*p)); }

NIBBLE_INLINE void prefetch_l1(const void* p) {
  _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0);
}

constexpr int64_t kVectorBytes = 4 * kRows;

constexpr int64_t block_bytes(CodeLayout layout) {
  return kVectorBytes * (layout == CodeLayout::kByte       ? 8
                         : layout == CodeLayout::kNibble   ? 4
                         : layout == CodeLayout::kThreeBit ? 3
                                                           : 2);
}

NIBBLE_INLINE const uint8_t* scales_at(const Panels& p, const uint8_t* panel, int64_t group) {
  return panel + p.scale_offset + group * kRows * (p.scales == ScaleLayout::kF32 ? 4 : 2);
}

NIBBLE_INLINE Floats load_scales(const Panels& p, const uint8_t* panel, int64_t group) {
  const uint8_t* at = scales_at(p, panel, group);
  if (__builtin_expect(p.scales == ScaleLayout::kF16, 1)) return widen_f16(at);
  if (p.scales == ScaleLayout::kF32) return load_floats(reinterpret_cast<const float*>(at));
  return widen_bf16(at);
}

// `moved` is what the kernel adds to every code.
NIBBLE_INLINE Vector load_zeros(const Panels& p, const uint8_t* panel, int64_t group, int moved) {
  return add(widen_bytes(panel + p.zero_offset + group * kRows), all(moved));
}

// A block of 32 columns to 8 vectors of unsigned codes.
template <CodeLayout L>
NIBBLE_INLINE void unpack(const uint8_t* p, Vector* w) {
  if constexpr (L == CodeLayout::kNibble) {
    const Vector low = all_bytes(15);
    NIBBLE_UNROLL
    for (int i = 0; i < 4; ++i) {
      Vector v = load(p + kVectorBytes * i);
      w[i] = v & low;
      w[i + 4] = shift_right<4>(v) & low;
    }
  } else if constexpr (L == CodeLayout::kTwoBit) {
    const Vector low = all_bytes(3);
    NIBBLE_UNROLL
    for (int i = 0; i < 2; ++i) {
      Vector v = load(p + kVectorBytes * i);
      w[4 * i] = v & low;
      w[4 * i + 1] = shift_right<2>(v) & low;
      w[4 * i + 2] = shift_right<4>(v) & low;
      w[4 * i + 3] = shift_right<6>(v) & low;
    }
  } else {
    static_assert(L == CodeLayout::kThreeBit);
    const Vector low = all_bytes(7), low2 = all_bytes(3), bit2 = all_bytes(4);
    Vector v[3] = {load(p), load(p + kVectorBytes), load(p + 2 * kVectorBytes)};
    NIBBLE_UNROLL
    for (int i = 0; i < 3; ++i) {
      w[2 * i] = v[i] & low;
      w[2 * i + 1] = shift_right<3>(v[i]) & low;
    }
    w[6] = (shift_right<6>(v[0]) & low2) | (shift_right<4>(v[2]) & bit2);
    w[7] = (shift_right<6>(v[1]) & low2) | (shift_right<5>(v[2]) & bit2);
  }
}

// y from the sums of one activation row and the rows of a panel, those that are there.
NIBBLE_INLINE void store_rows(const Product& p, int64_t column, int64_t panel, Floats sums) {
  Floats v = sums * all_floats(p.scale[column]);
  int64_t row = panel * kRows, left = p.w.n - row;
  float* y = p.y + column * p.ldy + row;
  if (left >= kRows) {
    if (p.bias) v = v + load_floats(p.bias + row);
    store_floats(y, v);
    return;
  }
  float values[kRows];
  store_floats(values, v);
  for (int64_t r = 0; r < left; ++r) y[r] = p.bias ? values[r] + p.bias[row + r] : values[r];
}

}  // namespace
}  // namespace nibble
