// Prefill: a strip of a panel is unpacked once for up to 512 activation rows (performance.md 2.5).
// A tile is 8 rows x 4 columns: its eight sums hide the multipliers' latency, and with the sums of
// the segment and the products in floats they still fit 32 registers. A gemm `Dot` says besides how
// it wants a strip:
//   kPlain                    as the panel's bytes lie, so that bytes are multiplied in place
//   unpack_block<L>(from, to) a packed block to 256 bytes
#pragma once

#include <cstddef>

#include "kernels/arm/segment.h"

namespace nibble {
namespace {

// 512 columns x 8 rows (4 KB) stay in L1 beside the activations, and 512 rows of 512 activations
// (256 KB) in half of a 512 KB L2.
constexpr int64_t kStripCols = 512, kMaxColumns = 512;

// Codes (blocks, 8, 32); scales and zeros (segments, 8).
struct Strip {
  const uint8_t* codes = nullptr;
  uint8_t* unpacked = nullptr;
  float* scales = nullptr;
  int32_t* zeros = nullptr;
  float* sums = nullptr;  // (columns, 8)
  int64_t blocks = 0, segments = 0;
};

int64_t strip_segments(const Product& p) {
  int64_t fit = kStripCols / (p.blocks_per_segment * kBlockCols);
  return fit < 1 ? 1 : fit < p.segments ? fit : p.segments;
}

int64_t strip_code_bytes(const Product& p) {
  return strip_segments(p) * p.blocks_per_segment * Unpacked<true>::kBytes;
}

int64_t gemm_scratch_for(const Product& p) {
  return strip_code_bytes(p) + strip_segments(p) * 2 * kRows * 4 + kMaxColumns * kRows * 4;
}

Strip strip_in(const Product& p, uint8_t* scratch) {
  Strip s;
  s.unpacked = scratch;
  s.scales = reinterpret_cast<float*>(scratch + strip_code_bytes(p));
  s.zeros = reinterpret_cast<int32_t*>(s.scales + strip_segments(p) * kRows);
  s.sums = reinterpret_cast<float*>(s.zeros + strip_segments(p) * kRows);
  return s;
}

template <class Dot, CodeLayout L, bool kZeros>
void fill_strip(const Product& p, int64_t panel, int64_t segment, Strip& s) {
  const uint8_t* base = p.w.data + panel * p.w.panel_bytes;
  int64_t first = segment * p.blocks_per_segment;
  const uint8_t* codes = base + first * p.w.block_bytes;
  if constexpr (Dot::kPlain && L == CodeLayout::kByte) {
    s.codes = codes;
  } else {
    for (int64_t b = 0; b < s.blocks; ++b)
      Dot::template unpack_block<L>(codes + b * Packed<L>::kBytes, s.unpacked + b * 256);
    s.codes = s.unpacked;
  }
  for (int64_t i = 0; i < s.segments; ++i) {
    int64_t group = (segment + i) / segments_per_group(p);
    float32x4_t scales[kHalves];
    load_scales(p.w.scales, base + p.w.scale_offset + group * scale_bytes(p.w), scales);
    vst1q_f32(s.scales + i * kRows, scales[0]);
    vst1q_f32(s.scales + i * kRows + 4, scales[1]);
    if constexpr (kZeros) {
      int32x4_t zeros[kHalves];
      load_zeros(base + p.w.zero_offset + group * kRows, zeros);
      vst1q_s32(s.zeros + i * kRows, zeros[0]);
      vst1q_s32(s.zeros + i * kRows + 4, zeros[1]);
    }
  }
}

// Adds a strip's products with W activation rows to their sums.
template <class Dot, class Codes, bool kZeros, int W>
__attribute__((noinline)) void multiply_strip(const Strip& s, int64_t blocks_per_segment,
                                              const Place& start, float* sums) {
  Place at = start;
  float32x4_t acc[kHalves * W];
  NIBBLE_UNROLL
  for (int i = 0; i < kHalves * W; ++i) acc[i] = vld1q_f32(sums + 4 * i);
  for (int64_t i = 0, left = s.blocks; i < s.segments; ++i) {
    float32x4_t scales[kHalves];
    int32x4_t zeros[kHalves] = {};
    for (int h = 0; h < kHalves; ++h) {
      scales[h] = vld1q_f32(s.scales + i * kRows + 4 * h);
      if constexpr (kZeros) zeros[h] = vld1q_s32(s.zeros + i * kRows + 4 * h);
    }
    int64_t blocks = left < blocks_per_segment ? left : blocks_per_segment;
    add_segment<Dot, Codes, kZeros, W>(at, blocks, scales, zeros, acc);
    left -= blocks;
  }
  NIBBLE_UNROLL
  for (int i = 0; i < kHalves * W; ++i) vst1q_f32(sums + 4 * i, acc[i]);
}

// One panel times activation rows [begin, end).
template <class Dot, CodeLayout L, bool kZeros>
void multiply_columns(const Product& p, int64_t panel, int64_t begin, int64_t end, Strip& s) {
  using Codes = Unpacked<L != CodeLayout::kByte>;
  __builtin_memset(s.sums, 0, static_cast<size_t>((end - begin) * kRows * 4));
  int64_t step = strip_segments(p);
  for (int64_t segment = 0; segment < p.segments; segment += step) {
    s.segments = p.segments - segment < step ? p.segments - segment : step;
    int64_t block = segment * p.blocks_per_segment, blocks = step * p.blocks_per_segment;
    s.blocks = p.w.blocks - block < blocks ? p.w.blocks - block : blocks;
    fill_strip<Dot, L, kZeros>(p, panel, segment, s);
    for (int64_t c = begin; c < end; c += kRowGroup) {
      int64_t width = p.m - c < kRowGroup ? p.m - c : kRowGroup;
      Place at = {s.codes, p.a + (c * p.w.blocks + block * width) * kBlockCols,
                  p.pairs + c * p.w.blocks + block * width,
                  p.term + c * p.segments + segment * width};
      with_width(width, [&]<int W>() {
        multiply_strip<Dot, Codes, kZeros, W>(s, p.blocks_per_segment, at,
                                              s.sums + (c - begin) * kRows);
      });
    }
  }
  for (int64_t c = begin; c < end; ++c) {
    const float* sums = s.sums + (c - begin) * kRows;
    store_rows(p, c, panel, vld1q_f32(sums), vld1q_f32(sums + 4));
  }
}

template <class Dot>
void gemm_with(const Product& p, int64_t first, int64_t last, uint8_t* scratch) {
  Strip s = strip_in(p, scratch);
  with_layout(p.w, [&]<CodeLayout L, bool kZeros>() {
    for (int64_t panel = first; panel < last; ++panel)
      for (int64_t begin = 0; begin < p.m; begin += kMaxColumns)
        multiply_columns<Dot, L, kZeros>(p, panel, begin,
                                         begin + kMaxColumns < p.m ? begin + kMaxColumns : p.m, s);
  });
}

// A strip as panels of bytes lie.
template <CodeLayout L>
NIBBLE_INLINE void unpack_plainly(const uint8_t* from, uint8_t* to) {
  NIBBLE_UNROLL
  for (int i = 0; i < 8; ++i) {
    int g = Packed<L>::group(i);
    for (int h = 0; h < kHalves; ++h)
      vst1q_s8(reinterpret_cast<int8_t*>(to) + 32 * g + 16 * h, Packed<L>::at(from, g, h));
  }
}

}  // namespace
}  // namespace nibble
