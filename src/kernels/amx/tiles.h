// Prefill on tiles: a block's products come out of the tile unit as sums of 32 columns, 16 x 16 of
// them in an instruction; AVX-512 gives them the block's multiplier and the group's scale, a batch
// of blocks at a time, while L1 gets the activations of the next.
#pragma once

#include "kernels/x86/gemm.h"

namespace nibble {
namespace {

constexpr int64_t kTileRows = 16;  // activation rows of a tile
constexpr int64_t kTileBytes = kTileRows * kBlockCols;
constexpr int64_t kBatch = 2 * kSegmentBlocks;    // blocks
constexpr int64_t kSums = 2 * kTileRows * kRows;  // of a block: (halves, kTileRows, kRows)
constexpr int64_t kBatchSums = kBatch * kSums;

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
// kVectorBytes).
template <int kOdd>
NIBBLE_INLINE void multiply_block(const int8_t* a, const uint8_t* w) {
  load_tile<4 + kOdd>(a, kBlockCols);
  load_tile<6>(w, 2 * kVectorBytes);
  load_tile<7>(w + kVectorBytes, 2 * kVectorBytes);
  zero_tile<2 * kOdd>();
  zero_tile<2 * kOdd + 1>();
  multiply_tiles<2 * kOdd, 4 + kOdd, 6>();
  multiply_tiles<2 * kOdd + 1, 4 + kOdd, 7>();
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

// One activation row's part of a batch, added to its sums: (halves, kRows). kWide: a block's sums
// may take more than 16 bits. kBlocks: of a segment, kWhole: and of every one in the batch.
template <bool kWide, bool kZeros, int kBlocks, bool kWhole>
NIBBLE_INLINE void add_row(const Strip& s, int64_t segment, int64_t blocks, const int32_t* d,
                           const int32_t* multipliers, const int32_t* term, int64_t width,
                           float* sums) {
  Floats acc0 = load_floats(sums), acc1 = load_floats(sums + kRows);
  const float* scales = s.scales + 2 * segment * kRows;
  [[maybe_unused]] const int32_t* zeros = s.zeros + 2 * segment * kRows;
  auto add_segment = [&](int64_t count) __attribute__((always_inline)) {
    Vector m = all(*multipliers++);
    Vector d0 = times<kWide>(load(d), m), d1 = times<kWide>(load(d + kTileRows * kRows), m);
    d += kSums;
    NIBBLE_UNROLL
    for (int64_t b = 1; b < count; ++b, d += kSums) {
      m = all(*multipliers++);
      d0 = add_times<kWide>(d0, load(d), m);
      d1 = add_times<kWide>(d1, load(d + kTileRows * kRows), m);
    }
    if constexpr (kZeros) {
      Vector t = all(*term);
      d0 = add(d0, multiply(load(zeros), t));
      d1 = add(d1, multiply(load(zeros + kRows), t));
      zeros += 2 * kRows;
      term += width;
    }
    acc0 = fma(to_floats(d0), load_floats(scales), acc0);
    acc1 = fma(to_floats(d1), load_floats(scales + kRows), acc1);
    scales += 2 * kRows;
  };
  if constexpr (kWhole) {
    NIBBLE_UNROLL
    for (int i = 0; i < kBatch / kBlocks; ++i) add_segment(kBlocks);
  } else {
    for (int64_t left = blocks; left > 0; left -= kBlocks)
      add_segment(left < kBlocks ? left : kBlocks);
  }
  store_floats(sums, acc0);
  store_floats(sums + kRows, acc1);
}

// Products of blocks with both panels. a: (blocks, kTileRows, 32); w: unpacked; d: (blocks, halves,
// kTileRows, kRows). A product is there 52 cycles on, so four are under way before one is stored.
void multiply_batch(const int8_t* a, const uint8_t* w, int64_t blocks, int32_t* d) {
  constexpr int64_t kHalf = kTileRows * kRows;
  int64_t b = 0;
  for (; b + 2 <= blocks; b += 2, a += 2 * kTileBytes, w += 2 * kBlockBytes, d += 2 * kSums) {
    multiply_block<0>(a, w);
    multiply_block<1>(a + kTileBytes, w + kBlockBytes);
    store_tile<0>(d, kVectorBytes);
    store_tile<1>(d + kHalf, kVectorBytes);
    store_tile<2>(d + kSums, kVectorBytes);
    store_tile<3>(d + kSums + kHalf, kVectorBytes);
  }
  if (b == blocks) return;
  multiply_block<0>(a, w);
  store_tile<0>(d, kVectorBytes);
  store_tile<1>(d + kHalf, kVectorBytes);
}

// Activation rows [begin, end) times a strip that begins at `segment`. sums: (rows, halves, kRows).
// buffer: a batch's sums.
template <bool kWide, bool kZeros, int kBlocks>
void multiply_rows(const Product& p, const Strip& s, int64_t segment, int64_t begin, int64_t end,
                   float* sums, int32_t* buffer) {
  constexpr int64_t kBatchBlocks = kBatch / kBlocks * kBlocks;
  const int64_t first_block = segment * kBlocks;
  for (int64_t tile = begin; tile < end; tile += kTileRows) {
    const int8_t* a = p.tiles + tile * p.w.blocks * kBlockCols + first_block * kTileBytes;
    const int64_t tile_end = tile + kTileRows < end ? tile + kTileRows : end;
    for (int64_t block = 0; block < s.blocks; block += kBatchBlocks) {
      const int64_t left = s.blocks - block, blocks = left < kBatchBlocks ? left : kBatchBlocks;
      const int64_t in_strip = block / kBlocks;  // segments
      multiply_batch(a + block * kTileBytes, s.codes + block * kBlockBytes, blocks, buffer);
      const int8_t* next = a + (block + blocks < s.blocks ? (block + blocks) * kTileBytes
                                                          : kTileRows * p.w.blocks * kBlockCols);
      for (int64_t row = tile; row < tile_end; ++row, next += kBatch * kBlockCols) {
        for (int64_t line = 0; line < kBatch * kBlockCols; line += 64) prefetch_l1(next + line);
        const int64_t group = row / kRowGroup * kRowGroup;
        const int64_t width = p.m - group < kRowGroup ? p.m - group : kRowGroup;
        const int32_t* d = buffer + (row - tile) * kRows;
        const int32_t* multipliers = p.multipliers + row * p.w.blocks + first_block + block;
        const int32_t* term =
            p.term + group * p.segments + (segment + in_strip) * width + row - group;
        float* to = sums + (row - begin) * 2 * kRows;
        if (blocks == kBatchBlocks)
          add_row<kWide, kZeros, kBlocks, true>(s, in_strip, blocks, d, multipliers, term, width,
                                                to);
        else
          add_row<kWide, kZeros, kBlocks, false>(s, in_strip, blocks, d, multipliers, term, width,
                                                 to);
      }
    }
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

// As many activation rows as stay in half a megabyte of L2 for all panels of a call.
int64_t rows_at_once(const Product& p) {
  int64_t fit = (int64_t{1} << 19) / (p.w.blocks * kBlockCols) / kTileRows * kTileRows;
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
      __builtin_memset(s.sums, 0, static_cast<size_t>((end - begin) * 2 * kRows * 4));
      for (int64_t segment = 0; segment < p.segments; segment += step) {
        s.segments = p.segments - segment < step ? p.segments - segment : step;
        int64_t block = segment * p.blocks_per_segment, blocks = step * p.blocks_per_segment;
        s.blocks = p.w.blocks - block < blocks ? p.w.blocks - block : blocks;
        for (int h = 0; h < panels; ++h) fill_signed_strip<L>(p, panel + h, h, segment, s);
        multiply_rows<kWide, kZeros, kBlocks>(p, s, segment, begin, end, s.sums, buffer);
      }
      for (int64_t row = begin; row < end; ++row)
        for (int64_t h = 0; h < panels; ++h)
          store_rows(p, row, panel + h, load_floats(s.sums + ((row - begin) * 2 + h) * kRows));
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

int64_t tile_gemm_scratch(const Product& p) { return gemm_scratch_for(p) + kBatchSums * 4; }

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
