// Decode: packed codes stream once past up to four activation rows (performance.md 2.4).
#pragma once

#include "kernels/arm/segment.h"

namespace nibble {
namespace {

template <class Dot, CodeLayout L, bool kZeros, int W>
__attribute__((noinline)) void multiply_panel(const Product& p, int64_t panel, int64_t column) {
  const Panels& w = p.w;
  const uint8_t* base = w.data + panel * w.panel_bytes;
  Place at = {base, p.a + column * w.blocks * kBlockCols, p.pairs + column * w.blocks,
              p.term + column * p.segments};
  float32x4_t acc[kHalves * W] = {};
  int64_t per_group = segments_per_group(p), left = w.blocks;
  for (const uint8_t *s = base + w.scale_offset, *z = base + w.zero_offset; left > 0;
       s += scale_bytes(w), z += kRows) {
    __builtin_prefetch(s + w.panel_bytes);
    float32x4_t scales[kHalves];
    int32x4_t zeros[kHalves] = {};
    load_scales(w.scales, s, scales);
    if constexpr (kZeros) load_zeros(z, zeros);
    for (int64_t i = 0; i < per_group && left > 0; ++i) {
      int64_t blocks = left < p.blocks_per_segment ? left : p.blocks_per_segment;
      add_segment<Dot, Packed<L>, kZeros, W>(at, blocks, scales, zeros, acc);
      left -= blocks;
    }
  }
  NIBBLE_UNROLL
  for (int c = 0; c < W; ++c) store_rows(p, column + c, panel, acc[2 * c], acc[2 * c + 1]);
}

template <class Dot>
void gemv_with(const Product& p, int64_t first, int64_t last) {
  with_layout(p.w, [&]<CodeLayout L, bool kZeros>() {
    for (int64_t panel = first; panel < last; ++panel)
      for (int64_t column = 0; column < p.m; column += kRowGroup)
        with_width(p.m - column,
                   [&]<int W>() { multiply_panel<Dot, L, kZeros, W>(p, panel, column); });
  });
}

}  // namespace
}  // namespace nibble
