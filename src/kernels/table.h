// What an instruction set gives to dispatch and what it gets: plain structs and raw pointers, so
// that nothing shared is ever compiled with a folder's own instruction-set flags.
#pragma once

#include <cstdint>

#include "kernels/float_ops.h"

namespace nibble {

struct CpuFeatures {
  bool avx2 = false;        // with FMA and F16C
  bool avxvnni = false;     // 256-bit vpdpbusd, VEX
  bool avx512vnni = false;  // F, BW, VL, DQ and VNNI
  bool amx = false;         // tiles of int8 and of bfloat16, with avx512vnni
  bool dotprod = false;
  bool i8mm = false;
};

// Columns are worked on in blocks of 32, the shortest run that shares a scale; k is padded to it.
inline constexpr int64_t kBlockCols = 32;
// Activation rows are interleaved in fours: as many as a tile's accumulators allow beside the
// weights in 16 registers.
inline constexpr int64_t kRowGroup = 4;
// Blocks whose sums are added as integers, and the largest multiplier of a block: together with
// codes of 8 bits, 255 * 127 * 32 * 4 * 512 is just below 2^31.
inline constexpr int64_t kSegmentBlocks = 4;
inline constexpr int kTopMultiplier = 512;

enum class CodeLayout : uint8_t { kTwoBit, kThreeBit, kNibble, kByte };
enum class ScaleLayout : uint8_t { kF16, kBF16, kF32 };

// Weights (n, k) in panels of `panel_rows` rows, one after the other, each
//   codes | scales (groups, panel_rows) | zero points (groups, panel_rows) int8, if group_zeros
// with every part aligned to 128 bytes. A block of 32 columns is a run of vectors; lane r (4 bytes)
// of a vector holds 4 consecutive columns of row r, so a 32-bit lane sums one row and nothing is
// ever added across lanes. q(g) stands for columns 4g..4g+3 of the block, byte by byte:
//   kNibble    4 vectors  v[i] = q(i) | q(i+4) << 4
//   kTwoBit    2 vectors  v[i] = q(4i) | q(4i+1) << 2 | q(4i+2) << 4 | q(4i+3) << 6
//   kThreeBit  3 vectors  v[i] = q(2i) | q(2i+1) << 3, and q(6) and q(7) in the free bits:
//              their low two bits on top of v[0] and v[1], their high ones bits 6 and 7 of v[2]
//   kByte      8 vectors  v[i] = q(i) - 128 as int8 with group_zeros, else q(i) less its zero point
// Zero points are less 128 too where the codes are. Padding is zeros.
struct Panels {
  const uint8_t* data = nullptr;
  int64_t panel_rows = 0, panel_bytes = 0, block_bytes = 0, scale_offset = 0, zero_offset = 0;
  int64_t n = 0, k = 0, blocks = 0, groups = 0, blocks_per_group = 0;
  CodeLayout layout = CodeLayout::kNibble;
  ScaleLayout scales = ScaleLayout::kF16;
  bool group_zeros = false;
  int zero = 0;  // of every code where not group_zeros; 0 for kByte
};

// One product. Activation rows in groups of 4, the last group of `width` <= 4; group j starts at
// element 4 j (elements of one row) of each array. Inside a group:
//   a      (blocks * 32 / run, width, run) int8, run = KernelTable::activation_run
//   pairs  (blocks, width)    a block's multiplier in both 16-bit halves
//   term   (segments, width)  minus the sum over the segment of multiplier * code, times `zero`
//          (times 128 for kByte, for kernels that read bytes as unsigned) unless the weights have
//          group_zeros
//   scale  (width)            of the row
// A segment is a run of blocks inside one weight group, so short that its sum fits 32 bits; sums
// in between may wrap around. The last segment of a row may be short.
struct Product {
  Panels w;
  int64_t blocks_per_segment = 0, segments = 0;
  int64_t m = 0;
  const int8_t* a = nullptr;
  const int8_t* tiles = nullptr;  // KernelTable::tile_rows
  const uint32_t* pairs = nullptr;
  const int32_t* term = nullptr;
  const float* scale = nullptr;
  const float* bias = nullptr;  // (n) or null
  float* y = nullptr;           // (m, n), row stride ldy
  int64_t ldy = 0;
};

struct KernelTable {
  const char* name;
  const char* needs;  // for people
  bool (*supported)(const CpuFeatures& cpu);
  int64_t panel_rows;
  int64_t activation_run = 4;  // columns of one activation row that lie together: 4 or 8
  // What gemm has instead of a and pairs, on 128 bytes: (rows / tile_rows rounded up, blocks) of
  // codes (tile_rows, 32) and int32 multipliers (tile_rows), the missing rows zeros. 0: nothing.
  int64_t tile_rows = 0;
  // x: (k) to codes (blocks * 32), multipliers (blocks; all 1 for per_token), and the sums of each
  // block's codes times its multiplier. Returns the row's scale.
  float (*quantize_row)(const float* x, int64_t k, bool per_token, int8_t* codes,
                        int32_t* multipliers, int32_t* sums);
  // y for panels [first, last): gemv streams the packed codes once for each group of 4 rows.
  void (*gemv)(const Product& p, int64_t first, int64_t last);
  // gemm unpacks a panel once for many rows into `scratch`, 128-byte aligned. Null: gemv always.
  void (*gemm)(const Product& p, int64_t first, int64_t last, uint8_t* scratch);
  int64_t (*gemm_scratch)(const Product& p);
  int64_t gemm_panels;  // how many panels gemm takes at a time
  int64_t gemm_from;    // the number of rows from which gemm is the faster one
  // Multiply-accumulates of bytes on registers alone, by the instructions of its products at the
  // widest; returns how many. Null: no such measure. Timed, it is the peak that a product can be
  // held against.
  int64_t (*multiply_registers)(int64_t rounds);
  const FloatOps* floats;
  // Null where those of floats are as fast.
  const Bf16Products* bf16 = nullptr;
};

}  // namespace nibble
