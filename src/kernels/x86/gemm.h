// Prefill: a strip of a panel is unpacked once for up to 512 activation rows (performance.md 2.5),
// two panels at a time: eight sums share 2 loads of weights and 4 broadcasts for 8 multiplications,
// so the multiplier ports and not the load ports set the pace. `Dot` is how an instruction set
// multiplies an unpacked block:
//   multiply_block<kBytes, W>(w, a, pairs, d)   d: (halves, W) vectors of kRows
//   kSplitBytes   bytes come as two nibbles, low and high, in the place of the two panels
#pragma once

#include "kernels/x86/vectors.h"

namespace nibble {
namespace {

// A strip of 512 columns x 16 rows (8 KB) stays in L1 beside the activations, and 512 rows of 512
// activations (256 KB) in half of a 512 KB L2.
constexpr int64_t kStripCols = 512, kMaxColumns = 512;
constexpr int64_t kBlockBytes = 8 * 2 * kVectorBytes;  // unpacked: 8 vectors of two halves

// A strip of weights, unpacked: codes (blocks, 8, 2, kVectorBytes); scales and zeros (segments,
// halves, kRows).
struct Strip {
  uint8_t* codes;
  float* scales;
  int32_t* zeros;
  float* sums;  // (columns / 4, halves, 4, kRows)
  int64_t blocks, segments;
};

int64_t strip_segments(const Product& p) {
  int64_t fit = kStripCols / (p.blocks_per_segment * kBlockCols);
  return fit < 1 ? 1 : fit < p.segments ? fit : p.segments;
}

Strip strip_in(const Product& p, uint8_t* scratch) {
  int64_t segments = strip_segments(p);
  Strip s;
  s.codes = scratch;
  scratch += segments * p.blocks_per_segment * kBlockBytes;
  s.scales = reinterpret_cast<float*>(scratch);
  scratch += segments * 2 * kRows * 4;
  s.zeros = reinterpret_cast<int32_t*>(scratch);
  scratch += segments * 2 * kRows * 4;
  s.sums = reinterpret_cast<float*>(scratch);
  s.blocks = s.segments = 0;
  return s;
}

// Codes of `blocks` blocks to half `half` of the strip, unsigned.
template <class Dot, CodeLayout L>
void unpack_codes(const uint8_t* codes, int64_t block_bytes, int64_t blocks, int half,
                  uint8_t* out) {
  for (int64_t b = 0; b < blocks; ++b, codes += block_bytes, out += kBlockBytes) {
    uint8_t* to = out + half * kVectorBytes;
    if constexpr (L == CodeLayout::kByte) {
      const Vector low = all_bytes(15), flip = all_bytes(-128);
      for (int g = 0; g < 8; ++g) {
        Vector w = load(codes + kVectorBytes * g) ^ flip;
        store(to + 2 * kVectorBytes * g, Dot::kSplitBytes ? w & low : w);
        if constexpr (Dot::kSplitBytes)
          store(to + 2 * kVectorBytes * g + kVectorBytes, shift_right<4>(w) & low);
      }
    } else {
      Vector w[8];
      unpack<L>(codes, w);
      NIBBLE_UNROLL
      for (int g = 0; g < 8; ++g) store(to + 2 * kVectorBytes * g, w[g]);
    }
  }
}

// `moved` is what the kernel adds to every code.
template <int kHalves>
void fill_scales(const Product& p, const uint8_t* base, int half, int64_t segment, int moved,
                 Strip& s) {
  for (int64_t i = 0; i < s.segments; ++i) {
    int64_t group = (segment + i) * p.blocks_per_segment / p.w.blocks_per_group;
    store_floats(s.scales + (i * kHalves + half) * kRows, load_scales(p.w, base, group));
    if (p.w.group_zeros)
      store(s.zeros + (i * kHalves + half) * kRows, load_zeros(p.w, base, group, moved));
  }
}

template <class Dot, CodeLayout L>
void fill_strip(const Product& p, int64_t panel, int half, int64_t segment, Strip& s) {
  constexpr int kHalves = L == CodeLayout::kByte && Dot::kSplitBytes ? 1 : 2;
  const uint8_t* base = p.w.data + panel * p.w.panel_bytes;
  int64_t first = segment * p.blocks_per_segment;
  unpack_codes<Dot, L>(base + first * p.w.block_bytes, p.w.block_bytes, s.blocks, half, s.codes);
  fill_scales<kHalves>(p, base, half, segment, L == CodeLayout::kByte ? 128 : 0, s);
}

// 32 registers hold the sums over a strip. With 16 they would be spilled around each block, so they
// stay in memory and are read where they are added to (Zen 3, w4g32: 65 -> 58 cycles a block).
constexpr bool kHoldSums = kRows == 16;

// Adds a strip's products with one group of W activation rows to its sums. kLong: segments of
// several blocks. What the next group will read lies a row group on, beyond what the hardware's
// prefetchers follow, so it is asked for here.
template <class Dot, bool kBytes, bool kZeros, bool kLong, int W>
void multiply_strip(const Product& p, const Strip& s, const int8_t* a, const uint32_t* pairs,
                    const int32_t* term, float* sums) {
  constexpr int kHalves = kBytes ? 1 : 2, kSums = kHalves * W;
  const int64_t next_pairs = kRowGroup * p.w.blocks, next_term = kRowGroup * p.segments;
  // Copies: what is behind `s` and `p` might change with each store to the sums.
  const int64_t segments = s.segments, segment_blocks = p.blocks_per_segment;
  const uint8_t* w = s.codes;
  const float* scales = s.scales;
  [[maybe_unused]] const int32_t* zeros = s.zeros;
  [[maybe_unused]] int64_t left = s.blocks;
  [[maybe_unused]] Floats acc[kSums];
  NIBBLE_UNROLL
  for (int j = 0; j < kSums; ++j) {
    if constexpr (kHoldSums) acc[j] = load_floats(sums + j * kRows);
    prefetch_l1(sums + (2 * kRowGroup + j) * kRows);
  }
  auto multiply_next_block = [&](Vector* d) __attribute__((always_inline)) {
    for (int64_t line = 0; line < kBlockCols * W; line += 64)
      prefetch_l1(a + next_pairs * kBlockCols + line);
    prefetch_l1(pairs + next_pairs);
    Dot::template multiply_block<kBytes, W>(w, a, pairs, d);
    w += kBlockBytes;
    a += kBlockCols * W;
    pairs += W;
  };
  for (int64_t i = 0; i < segments; ++i, term += W) {
    prefetch_l1(term + next_term);
    Vector d[kSums];
    multiply_next_block(d);
    if constexpr (kLong) {
      for (int64_t b = left < segment_blocks ? left : segment_blocks; --b > 0;) {
        Vector more[kSums];
        multiply_next_block(more);
        NIBBLE_UNROLL
        for (int j = 0; j < kSums; ++j) d[j] = add(d[j], more[j]);
      }
      left -= segment_blocks;
    }
    Floats scale[kHalves];
    NIBBLE_UNROLL
    for (int h = 0; h < kHalves; ++h) scale[h] = load_floats(scales + h * kRows);
    NIBBLE_UNROLL
    for (int c = 0; c < W; ++c) {
      Vector t = all(term[c]);
      NIBBLE_UNROLL
      for (int h = 0; h < kHalves; ++h) {
        const int j = h * W + c;
        Vector correction = t;
        if constexpr (kZeros) correction = multiply(load(zeros + h * kRows), t);
        Floats product = to_floats(add(d[j], correction));
        if constexpr (kHoldSums)
          acc[j] = fma(product, scale[h], acc[j]);
        else
          store_floats(sums + j * kRows, fma(product, scale[h], load_floats(sums + j * kRows)));
      }
    }
    scales += kHalves * kRows;
    if constexpr (kZeros) zeros += kHalves * kRows;
  }
  if constexpr (kHoldSums) {
    NIBBLE_UNROLL
    for (int j = 0; j < kSums; ++j) store_floats(sums + j * kRows, acc[j]);
  }
}

template <class Dot, bool kBytes, bool kZeros, bool kLong>
void multiply_columns(const Product& p, const Strip& s, int64_t segment, int64_t begin,
                      int64_t end) {
  int64_t block = segment * p.blocks_per_segment;
  float* sums = s.sums;
  for (int64_t c = begin; c < end; c += kRowGroup) {
    int64_t width = p.m - c < kRowGroup ? p.m - c : kRowGroup;
    const int8_t* a = p.a + (c * p.w.blocks + block * width) * kBlockCols;
    const uint32_t* pairs = p.pairs + c * p.w.blocks + block * width;
    const int32_t* term = p.term + c * p.segments + segment * width;
    switch (width) {
      case 1:
        multiply_strip<Dot, kBytes, kZeros, kLong, 1>(p, s, a, pairs, term, sums);
        break;
      case 2:
        multiply_strip<Dot, kBytes, kZeros, kLong, 2>(p, s, a, pairs, term, sums);
        break;
      case 3:
        multiply_strip<Dot, kBytes, kZeros, kLong, 3>(p, s, a, pairs, term, sums);
        break;
      default:
        multiply_strip<Dot, kBytes, kZeros, kLong, 4>(p, s, a, pairs, term, sums);
        break;
    }
    sums += 2 * kRowGroup * kRows;
  }
}

inline void store_sums(const Product& p, const float* sums, int64_t panel, int64_t panels,
                       int64_t begin, int64_t end) {
  for (int64_t c = begin; c < end; c += kRowGroup, sums += 2 * kRowGroup * kRows) {
    int64_t width = p.m - c < kRowGroup ? p.m - c : kRowGroup;
    for (int64_t h = 0; h < panels; ++h)
      for (int64_t i = 0; i < width; ++i)
        store_rows(p, c + i, panel + h, load_floats(sums + (h * width + i) * kRows));
  }
}

template <class Dot, CodeLayout L, bool kZeros>
void multiply_pairs(const Product& p, int64_t first, int64_t last, uint8_t* scratch) {
  constexpr bool kBytes = L == CodeLayout::kByte && Dot::kSplitBytes;
  constexpr int64_t kPanels = kBytes ? 1 : 2;
  Strip s = strip_in(p, scratch);
  int64_t step = strip_segments(p);
  for (int64_t panel = first; panel < last; panel += kPanels) {
    int64_t panels = last - panel < kPanels ? last - panel : kPanels;
    for (int64_t begin = 0; begin < p.m; begin += kMaxColumns) {
      int64_t end = begin + kMaxColumns < p.m ? begin + kMaxColumns : p.m;
      __builtin_memset(s.sums, 0, static_cast<size_t>((end - begin + 3) / 4 * 8 * kRows * 4));
      for (int64_t segment = 0; segment < p.segments; segment += step) {
        s.segments = p.segments - segment < step ? p.segments - segment : step;
        int64_t block = segment * p.blocks_per_segment, blocks = step * p.blocks_per_segment;
        s.blocks = p.w.blocks - block < blocks ? p.w.blocks - block : blocks;
        for (int h = 0; h < panels; ++h) fill_strip<Dot, L>(p, panel + h, h, segment, s);
        if (p.blocks_per_segment == 1)
          multiply_columns<Dot, kBytes, kZeros, false>(p, s, segment, begin, end);
        else
          multiply_columns<Dot, kBytes, kZeros, true>(p, s, segment, begin, end);
      }
      store_sums(p, s.sums, panel, panels, begin, end);
    }
  }
}

template <class Dot, CodeLayout L>
void multiply_pairs(const Product& p, int64_t first, int64_t last, uint8_t* scratch) {
  if (p.w.group_zeros)
    multiply_pairs<Dot, L, true>(p, first, last, scratch);
  else
    multiply_pairs<Dot, L, false>(p, first, last, scratch);
}

int64_t gemm_scratch_for(const Product& p) {
  int64_t segments = strip_segments(p);
  int64_t strip = segments * (p.blocks_per_segment * kBlockBytes + 2 * 2 * kRows * 4);
  return strip + kMaxColumns * 2 * kRows * 4;
}

template <class Dot>
void gemm_with(const Product& p, int64_t first, int64_t last, uint8_t* scratch) {
  switch (p.w.layout) {
    case CodeLayout::kTwoBit:
      return multiply_pairs<Dot, CodeLayout::kTwoBit>(p, first, last, scratch);
    case CodeLayout::kThreeBit:
      return multiply_pairs<Dot, CodeLayout::kThreeBit>(p, first, last, scratch);
    case CodeLayout::kNibble:
      return multiply_pairs<Dot, CodeLayout::kNibble>(p, first, last, scratch);
    case CodeLayout::kByte:
      return multiply_pairs<Dot, CodeLayout::kByte>(p, first, last, scratch);
  }
}

}  // namespace
}  // namespace nibble
