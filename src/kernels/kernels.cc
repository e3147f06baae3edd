#include "kernels/kernels.h"

#include <algorithm>
#include <array>

#include "base/threads.h"
#include "kernels/pack.h"
#include "kernels/registry.h"
#include "kernels/rows.h"

namespace nibble {
namespace {

// Below this much work a hand-over to another thread (about a microsecond) costs more than it
// gains.
constexpr int64_t kSerialMacs = 1 << 17;
// Enough chunks to even out cores of unequal speed, each long enough that what is prefetched beyond
// its end, which may be another core's, does not matter.
constexpr int64_t kChunks = 64, kChunkBytes = 65536;

// How the panels of a product of `rows` rows are shared out: `count` pieces of `panels` each.
struct Cut {
  Cut(const KernelTable& table, const Panels& w, int64_t rows)
      : gemm(table.gemm && rows >= table.gemm_from), all((w.n + w.panel_rows - 1) / w.panel_rows) {
    int64_t unit = gemm ? table.gemm_panels : 1;
    panels = std::max((all + kChunks - 1) / kChunks, kChunkBytes / w.panel_bytes);
    panels = std::max<int64_t>(1, (panels + unit - 1) / unit) * unit;
    count = (all + panels - 1) / panels;
  }
  bool gemm;
  int64_t all, panels, count;
};

// Blocks of a segment: see kernels.h.
int64_t segment_blocks(const Panels& w) {
  if (w.groups == 1) return kSegmentBlocks;
  int64_t blocks = kSegmentBlocks;
  while (w.blocks_per_group % blocks != 0) --blocks;
  return blocks;
}

uint8_t* scratch(int64_t bytes) {
  thread_local AlignedBuffer buffer;
  if (buffer.size() < bytes) buffer = AlignedBuffer((bytes + 127) / 128 * 128);
  return buffer.data();
}

Pieces cut(const KernelTable& table, const Product& p, Epilogue epilogue) {
  Cut c(table, p.w, p.m);
  Pieces pieces;
  pieces.count = c.count;
  pieces.small = p.w.n * p.w.k * p.m < kSerialMacs;
  pieces.body = [=, &table, epilogue = std::move(epilogue)](int64_t i) {
    int64_t first = i * c.panels, last = std::min(c.all, first + c.panels);
    if (c.gemm)
      table.gemm(p, first, last, scratch(table.gemm_scratch(p)));
    else
      table.gemv(p, first, last);
    if (epilogue) epilogue(first * p.w.panel_rows, std::min(p.w.n, last * p.w.panel_rows));
  };
  return pieces;
}

}  // namespace

const FloatOps& float_ops() { return *chosen_table().floats; }
const Bf16Products* bf16_products() { return chosen_table().bf16; }

int64_t multiply_registers(int64_t rounds) {
  auto loop = chosen_table().multiply_registers;
  return loop ? loop(rounds) : 0;
}

bool has_integer_kernel(const Scheme& scheme, int64_t k) {
  int64_t group = scheme.group_size(k);
  return group == k || group % kBlockCols == 0;
}

std::unique_ptr<PackedMatrix> pack_matrix(const QuantizedMatrix& w) {
  return std::make_unique<PanelMatrix>(chosen_table(), w);
}

std::shared_ptr<Int8Rows> quantize_rows(const float* x, int64_t rows, int64_t k, Activations mode,
                                        float scale, std::shared_ptr<Int8Rows> old) {
  return quantize_rows_with(chosen_table(), x, rows, k, mode, scale, std::move(old));
}

Epilogue followed_by(Epilogue own, Epilogue next) {
  struct Both {
    Epilogue own, next;
  };
  auto both = std::make_shared<Both>(std::move(own), std::move(next));
  return [both](int64_t first, int64_t last) {
    both->own(first, last);
    if (both->next) both->next(first, last);
  };
}

Pieces integer_matmul_pieces(MatrixProduct product) {
  const auto& matrix = static_cast<const PanelMatrix&>(*product.w);
  Int8Rows& x = *product.x;
  NB_CHECK(x.k == matrix.cols());
  Product p;
  p.w = matrix.panels();
  p.m = x.rows;
  p.a = x.codes.data();
  p.tiles = reinterpret_cast<const int8_t*>(x.tiles.data());
  p.bias = product.bias;
  p.y = product.y;
  p.ldy = product.ldy;
  p.blocks_per_segment = segment_blocks(p.w);
  p.segments = (p.w.blocks + p.blocks_per_segment - 1) / p.blocks_per_segment;
  p.pairs = x.pairs.data();
  p.scale = x.scales.data();
  int factor = p.w.group_zeros ? -1 : p.w.layout == CodeLayout::kByte ? -128 : -p.w.zero;
  p.term = x.terms(p.blocks_per_segment, factor);
  return cut(matrix.table(), p, std::move(product.epilogue));
}

Stretch integer_matmul_reads(const PackedMatrix& w, int64_t rows) {
  const auto& matrix = static_cast<const PanelMatrix&>(w);
  const Panels& p = matrix.panels();
  Cut c(matrix.table(), p, rows);
  if (c.gemm) return {};
  return {reinterpret_cast<const std::byte*>(p.data), c.panels * p.panel_bytes, c.count};
}

void integer_matmul(const PackedMatrix& w, Int8Rows& x, const float* bias, float* y, int64_t ldy) {
  run_pieces(std::array{integer_matmul_pieces({&w, &x, bias, y, ldy, {}})});
}

}  // namespace nibble
