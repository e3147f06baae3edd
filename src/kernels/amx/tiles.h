// Prefill on tiles: a block's products come out of the tile unit as sums of 32 columns, 16 x 16 of
// them in an instruction; AVX-512 gives them the block's multiplier and the group's scale, a batch
// of blocks and eight rows at a time, while L1 gets the activations of the next. While tile
// instructions are in flight AVX-512 has one port of two, so one after the other is as fast as both
// at once; what counts is that all of a batch stays in L1.
#pragma once

#include "kernels/x86/gemm.h"

namespace nibble {
namespace {

constexpr int64_t kTileRows = 16;  // activation rows of a tile
constexpr int64_t kTileCodes = kTileRows * kBlockCols;
constexpr int64_t kTileBytes = kTileCodes + kTileRows * 4;  // of a block, with its multipliers
constexpr int64_t kBatch = kSegmentBlocks;                  // blocks
constexpr int64_t kHalfSums = kTileRows * kRows;
constexpr int64_t kSums = 2 * kHalfSums;  // of a block: (halves, kTileRows, kRows)
constexpr int64_t kHeld = 8;              // activation rows whose sums are in registers

// Tiles 0 to 3 hold sums: of an even block with the first and the second panel, of an odd one. 4
// and 5 hold activations of either, 6 and 7 weights of the two panels.
struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 32, 32, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 8, 8};
};

// All 8 of 16 rows of 64 bytes.
constexpr TileConfig whole_tiles() {
  TileConfig config;
  for (int t = 0; t < 8; ++t) {
    config.row_bytes[t] = 64;
    config.rows[t] = 16;
  }
  return config;
}

// The intrinsics want literal numbers of tiles, and GCC 12's do not say what memory they touch.
template <int kTile>
NIBBLE_INLINE void zero_tile() {
  __asm__ volatile("tilezero %%tmm%c0" : : "i"(kTile));
}
template <int kTile>
NIBBLE_INLINE void load_tile(const void* from, int64_t stride) {
  __asm__ volatile("tileloadd (%0,%1,1), %%tmm%c2"
                   :
                   : "r"(from), "r"(stride), "i"(kTile)
                   : "memory");
}
template <int kTile>
NIBBLE_INLINE void store_tile(void* to, int64_t stride) {
  __asm__ volatile("tilestored %%tmm%c2, (%0,%1,1)"
                   :
                   : "r"(to), "r"(stride), "i"(kTile)
                   : "memory");
}
template <int kTo, int kA, int kB>
NIBBLE_INLINE void multiply_tiles() {
  __asm__ volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kTo), "i"(kA), "i"(kB));
}

// While it lives the tile registers are this thread's to use. (The intrinsic of GCC 12 does not say
// that it reads all of the configuration.)
class Tiles {
 public:
  explicit Tiles(const TileConfig& config) { __asm__ volatile("ldtilecfg %0" : : "m"(config)); }
  ~Tiles() { __asm__ volatile("tilerelease"); }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;
};

// The products of a block with both panels. a: (kTileRows, 32); w: unpacked, (8, halves,
// kVectorBytes). before: null, or where the sums of the block before go, whose products are there
// only 52 cycles on.
template <int kOdd>
NIBBLE_INLINE void multiply_block(const int8_t* a, const uint8_t* w, int32_t* before) {
  constexpr int kSum = 2 * kOdd, kBefore = 2 - kSum;
  load_tile<4 + kOdd>(a, kBlockCols);
  load_tile<6>(w, 2 * kVectorBytes);
  zero_tile<kSum>();
  multiply_tiles<kSum, 4 + kOdd, 6>();
  if (before) store_tile<kBefore>(before, kVectorBytes);
  load_tile<7>(w + kVectorBytes, 2 * kVectorBytes);
  zero_tile<kSum + 1>();
  multiply_tiles<kSum + 1, 4 + kOdd, 7>();
  if (before) store_tile<kBefore + 1>(before + kHalfSums, kVectorBytes);
}
template <int kOdd>
NIBBLE_INLINE void store_block(int32_t* d) {
  store_tile<2 * kOdd>(d, kVectorBytes);
  store_tile<2 * kOdd + 1>(d + kHalfSums, kVectorBytes);
}

// What is taken from every code, so that the sums of 32 products of up to four bits fit 16 bits.
int centre_of(const Panels& w) {
  if (w.layout == CodeLayout::kByte) return 0;
  if (!w.group_zeros) return w.zero;
  return w.layout == CodeLayout::kNibble ? 8 : w.layout == CodeLayout::kThreeBit ? 4 : 2;
}

template <CodeLayout L>
void unpack_signed(const uint8_t* codes, int64_t block_bytes, int64_t blocks, int half, int centre,
                   uint8_t* out) {
  const Vector middle = all_bytes(centre);
  for (int64_t b = 0; b < blocks; ++b, codes += block_bytes, out += kBlockBytes) {
    Vector w[8];
    if constexpr (L == CodeLayout::kByte) {
      NIBBLE_UNROLL
      for (int g = 0; g < 8; ++g) w[g] = load(codes + kVectorBytes * g);
    } else {
      unpack<L>(codes, w);
    }
    NIBBLE_UNROLL
    for (int g = 0; g < 8; ++g)
      store(out + (2 * g + half) * kVectorBytes, _mm512_sub_epi8(w[g], middle));
  }
}

// A block's sums times its multiplier. Where they fit 16 bits, the upper half of a lane is its
// sign, and meets the zero above the multiplier.
template <bool kWide>
NIBBLE_INLINE Vector times(Vector sums, Vector m) {
  return kWide ? multiply(sums, m) : _mm512_madd_epi16(sums, m);
}
template <bool kWide>
NIBBLE_INLINE Vector add_times(Vector d, Vector sums, Vector m) {
  return kWide ? add(d, multiply(sums, m)) : _mm512_dpwssd_epi32(d, sums, m);
}

// Products of blocks with both panels. a: (blocks, kTileBytes); w: unpacked; d: (blocks, halves,
// kTileRows, kRows).
void multiply_batch(const int8_t* a, const uint8_t* w, int64_t blocks, int32_t* d) {
  int64_t b = 0;
  for (; b + 2 <= blocks; b += 2, a += 2 * kTileBytes, w += 2 * kBlockBytes, d += 2 * kSums) {
    multiply_block<0>(a, w, b > 0 ? d - kSums : nullptr);
    multiply_block<1>(a + kTileBytes, w + kBlockBytes, d);
  }
  if (b < blocks) multiply_block<0>(a, w, b > 0 ? d - kSums : nullptr);
  if (b < blocks)
    store_block<0>(d);
  else
    store_block<1>(d - kSums);
}

// kHeld activation rows' part of a batch.
struct HeldRows {
  const int32_t* d;            // (blocks, halves, kTileRows, kRows), from the first row on
  const int32_t* multipliers;  // of the first block, from the first row on
  const int32_t* term[2];      // of each group of four rows, with zero points
  int64_t width[2];            // rows of those groups
  const int8_t* next;          // kHeld / kTileRows of what the next batch reads
};

// Adds it to the rows' sums: (kHeld, halves, kRows). kWide: a block's sums may take more than 16
// bits. kBlocks: of a segment.
template <bool kWide, bool kZeros, int kBlocks>
void add_rows(HeldRows rows, int64_t blocks, const float* scales, const int32_t* zeros,
              float* sums) {
  Floats acc[2 * kHeld];
  NIBBLE_UNROLL
  for (int i = 0; i < 2 * kHeld; ++i) acc[i] = load_floats(sums + i * kRows);
  auto add_segment = [&](int64_t count) __attribute__((always_inline)) {
    const Floats scale0 = load_floats(scales), scale1 = load_floats(scales + kRows);
    scales += 2 * kRows;
    for (int64_t line = 0; line < count * kTileBytes; line += 128) prefetch_l1(rows.next + line);
    NIBBLE_UNROLL
    for (int r = 0; r < kHeld; ++r) {
      const int32_t *d = rows.d + r * kRows, *m = rows.multipliers + r;
      Vector by = all(*m);
      Vector d0 = times<kWide>(load(d), by), d1 = times<kWide>(load(d + kHalfSums), by);
      NIBBLE_UNROLL
      for (int64_t b = 1; b < count; ++b) {
        by = all(m[b * (kTileBytes / 4)]);
        d0 = add_times<kWide>(d0, load(d + b * kSums), by);
        d1 = add_times<kWide>(d1, load(d + b * kSums + kHalfSums), by);
      }
      if constexpr (kZeros) {
        Vector t = all(rows.term[r / kRowGroup][r % kRowGroup]);
        d0 = add(d0, multiply(load(zeros), t));
        d1 = add(d1, multiply(load(zeros + kRows), t));
      }
      acc[2 * r] = fma(to_floats(d0), scale0, acc[2 * r]);
      acc[2 * r + 1] = fma(to_floats(d1), scale1, acc[2 * r + 1]);
    }
    rows.d += count * kSums;
    rows.multipliers += count * (kTileBytes / 4);
    rows.next += count * kTileBytes;
    if constexpr (kZeros) {
      zeros += 2 * kRows;
      for (int g = 0; g < 2; ++g) rows.term[g] += rows.width[g];
    }
  };
  for (; blocks >= kBlocks; blocks -= kBlocks) add_segment(kBlocks);
  if (blocks > 0) add_segment(blocks);
  NIBBLE_UNROLL
  for (int i = 0; i < 2 * kHeld; ++i) store_floats(sums + i * kRows, acc[i]);
}

// Where the terms of `segment` are for rows [row, row + kHeld). Those of a group that is not there
// are another's, for sums that nobody stores.
void find_terms(const Product& p, int64_t row, int64_t segment, HeldRows& rows) {
  for (int g = 0; g < 2; ++g) {
    const int64_t last = (p.m - 1) / kRowGroup * kRowGroup, here = row + g * kRowGroup;
    const int64_t first = here < last ? here : last;
    rows.width[g] = p.m - first < kRowGroup ? p.m - first : kRowGroup;
    rows.term[g] = p.term + first * p.segments + segment * rows.width[g];
  }
}

// Rows of y lie on pages of their own, far from what the caches follow: asked for a strip before
// they are written. (The intrinsic would only ask to read.)
void expect_rows(const Product& p, int64_t row, int64_t end, int64_t panel) {
  for (; row < end; ++row) {
    const float* y = p.y + row * p.ldy + panel * kRows;
    __asm__ volatile("prefetchw %0" : : "m"(*y));
    __asm__ volatile("prefetchw %0" : : "m"(y[kRows]));
  }
}

// Activation rows [begin, end) times a strip of `panels` panels that begins at `segment`. sums:
// (rows in whole tiles, halves, kRows), which go to y after a row's last segment. buffer: a batch's
// sums.
template <bool kWide, bool kZeros, int kBlocks>
void multiply_rows(const Product& p, const Strip& s, int64_t panel, int64_t panels, int64_t segment,
                   int64_t begin, int64_t end, int32_t* buffer) {
  constexpr int64_t kBatchBlocks = kBatch / kBlocks * kBlocks;
  const int64_t tile_step = p.w.blocks * kTileBytes;
  const int8_t* a = p.tiles + begin / kTileRows * tile_step + segment * kBlocks * kTileBytes;
  const bool last = segment + s.segments == p.segments;
  float* sums = s.sums;
  for (int64_t tile = begin; tile < end; tile += kTileRows, a += tile_step) {
    const int64_t tile_end = tile + kTileRows < end ? tile + kTileRows : end;
    if (last) expect_rows(p, tile, tile_end, panel);
    for (int64_t block = 0; block < s.blocks; block += kBatchBlocks) {
      const int64_t left = s.blocks - block, blocks = left < kBatchBlocks ? left : kBatchBlocks;
      const int64_t in_strip = block / kBlocks;  // segments
      const int8_t* from = a + block * kTileBytes;
      const int8_t* next = left > blocks ? from + blocks * kTileBytes : a + tile_step;
      multiply_batch(from, s.codes + block * kBlockBytes, blocks, buffer);
      for (int64_t r = 0; tile + r < tile_end; r += kHeld) {
        HeldRows rows = {.d = buffer + r * kRows,
                         .multipliers = reinterpret_cast<const int32_t*>(from + kTileCodes) + r,
                         .next = next + r / kHeld * 64};
        if constexpr (kZeros) find_terms(p, tile + r, segment + in_strip, rows);
        add_rows<kWide, kZeros, kBlocks>(rows, blocks, s.scales + 2 * in_strip * kRows,
                                         s.zeros + 2 * in_strip * kRows, sums + r * 2 * kRows);
      }
    }
    for (int64_t row = tile; last && row < tile_end; ++row)
      for (int64_t h = 0; h < panels; ++h)
        store_rows(p, row, panel + h, load_floats(sums + ((row - tile) * 2 + h) * kRows));
    sums += kTileRows * 2 * kRows;
  }
}

template <CodeLayout L>
void fill_signed_strip(const Product& p, int64_t panel, int half, int64_t segment, Strip& s) {
  const uint8_t* base = p.w.data + panel * p.w.panel_bytes;
  const int centre = centre_of(p.w);
  unpack_signed<L>(base + segment * p.blocks_per_segment * p.w.block_bytes, p.w.block_bytes,
                   s.blocks, half, centre, s.codes);
  fill_scales<2>(p, base, half, segment, -centre, s);
}

// As many activation rows as stay in a megabyte of L2 for all panels of a call.
int64_t rows_at_once(const Product& p) {
  int64_t fit = (int64_t{1} << 20) / (p.w.blocks * kBlockCols) / kTileRows * kTileRows;
  return fit < 64 ? 64 : fit < kMaxColumns ? fit : kMaxColumns;
}

template <CodeLayout L, bool kWide, bool kZeros, int kBlocks>
void multiply_panels(const Product& p, int64_t first, int64_t last, uint8_t* scratch) {
  Strip s = strip_in(p, scratch);
  auto* buffer = reinterpret_cast<int32_t*>(s.sums + kMaxColumns * 2 * kRows);
  int64_t step = strip_segments(p), at_once = rows_at_once(p);
  for (int64_t begin = 0; begin < p.m; begin += at_once) {
    int64_t end = begin + at_once < p.m ? begin + at_once : p.m;
    for (int64_t panel = first; panel < last; panel += 2) {
      int64_t panels = last - panel < 2 ? last - panel : 2;
      __builtin_memset(s.sums, 0, static_cast<size_t>((end - begin + kHeld - 1) * 2 * kRows * 4));
      for (int64_t segment = 0; segment < p.segments; segment += step) {
        s.segments = p.segments - segment < step ? p.segments - segment : step;
        int64_t block = segment * p.blocks_per_segment, blocks = step * p.blocks_per_segment;
        s.blocks = p.w.blocks - block < blocks ? p.w.blocks - block : blocks;
        for (int h = 0; h < panels; ++h) fill_signed_strip<L>(p, panel + h, h, segment, s);
        multiply_rows<kWide, kZeros, kBlocks>(p, s, panel, panels, segment, begin, end, buffer);
      }
    }
  }
}

template <CodeLayout L, bool kZeros>
void multiply_segments(const Product& p, int64_t first, int64_t last, uint8_t* scratch) {
  constexpr bool kWide = L == CodeLayout::kByte;
  switch (p.blocks_per_segment) {
    case 1:
      return multiply_panels<L, kWide, kZeros, 1>(p, first, last, scratch);
    case 2:
      return multiply_panels<L, kWide, kZeros, 2>(p, first, last, scratch);
    case 3:
      return multiply_panels<L, kWide, kZeros, 3>(p, first, last, scratch);
    default:
      return multiply_panels<L, kWide, kZeros, 4>(p, first, last, scratch);
  }
}

template <CodeLayout L>
void multiply_layout(const Product& p, int64_t first, int64_t last, uint8_t* scratch) {
  if (p.w.group_zeros)
    multiply_segments<L, true>(p, first, last, scratch);
  else
    multiply_segments<L, false>(p, first, last, scratch);
}

void tile_gemm(const Product& p, int64_t first, int64_t last, uint8_t* scratch) {
  Tiles tiles{TileConfig{}};
  switch (p.w.layout) {
    case CodeLayout::kTwoBit:
      return multiply_layout<CodeLayout::kTwoBit>(p, first, last, scratch);
    case CodeLayout::kThreeBit:
      return multiply_layout<CodeLayout::kThreeBit>(p, first, last, scratch);
    case CodeLayout::kNibble:
      return multiply_layout<CodeLayout::kNibble>(p, first, last, scratch);
    case CodeLayout::kByte:
      return multiply_layout<CodeLayout::kByte>(p, first, last, scratch);
  }
}

int64_t tile_gemm_scratch(const Product& p) { return gemm_scratch_for(p) + kBatch * kSums * 4; }

// KernelTable::multiply_registers: products of whole tiles, 64 columns deep.
int64_t multiply_registers_as_tiles(int64_t rounds) {
  static constexpr TileConfig kConfig = whole_tiles();
  Tiles tiles(kConfig);
  zero_tile<5>();
  zero_tile<6>();
  for (int64_t r = 0; r < rounds; ++r) {
    multiply_tiles<0, 5, 6>();
    multiply_tiles<1, 5, 6>();
    multiply_tiles<2, 5, 6>();
    multiply_tiles<3, 5, 6>();
  }
  return rounds * 4 * 16 * 16 * 64;
}

}  // namespace
}  // namespace nibble
