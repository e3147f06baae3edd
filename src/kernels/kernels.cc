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
constexpr int64_t kChunks = 16, kChunkBytes = 65536;

// Blocks of a segment: see kernels.h.
int64_t segment_blocks(const Panels& w) {
  if (w.groups == 1) return kSegmentBlocks;
  int64_t blocks = kSegmentBlocks;
  while (w.blocks_per_group % blocks != 0) --blocks;
  return blocks;
}

// Product::term.
void fill_terms(const Int8Rows& x, const Product& p, std::vector<int32_t>& out) {
  const Panels& w = p.w;
  int factor = w.group_zeros ? -1 : w.layout == CodeLayout::kByte ? -128 : -w.zero;
  out.assign(static_cast<size_t>(p.m * p.segments), 0);
  for (int64_t first = 0; first < p.m; first += kRowGroup) {
    int64_t width = x.width(first / kRowGroup);
    const int32_t* sums = x.sums.data() + first * w.blocks;
    int32_t* terms = out.data() + first * p.segments;
    for (int64_t b = 0; b < w.blocks; ++b)
      for (int64_t r = 0; r < width; ++r)
        terms[b / p.blocks_per_segment * width + r] += factor * sums[b * width + r];
  }
}

uint8_t* scratch(int64_t bytes) {
  thread_local AlignedBuffer buffer;
  if (buffer.size() < bytes) buffer = AlignedBuffer((bytes + 127) / 128 * 128);
  return buffer.data();
}

Pieces cut(const KernelTable& table, const Product& p, std::shared_ptr<std::vector<int32_t>> terms,
           Epilogue epilogue) {
  int64_t panels = (p.w.n + p.w.panel_rows - 1) / p.w.panel_rows;
  bool gemm = table.gemm && p.m >= table.gemm_from;
  int64_t unit = gemm ? table.gemm_panels : 1;
  int64_t chunk = std::max((panels + kChunks - 1) / kChunks, kChunkBytes / p.w.panel_bytes);
  chunk = std::max<int64_t>(1, (chunk + unit - 1) / unit) * unit;
  Pieces pieces;
  pieces.count = (panels + chunk - 1) / chunk;
  pieces.small = p.w.n * p.w.k * p.m < kSerialMacs;
  pieces.body = [=, &table, epilogue = std::move(epilogue), terms = std::move(terms)](int64_t i) {
    int64_t first = i * chunk, last = std::min(panels, first + chunk);
    if (gemm)
      table.gemm(p, first, last, scratch(table.gemm_scratch(p)));
    else
      table.gemv(p, first, last);
    if (epilogue) epilogue(first * p.w.panel_rows, std::min(p.w.n, last * p.w.panel_rows));
  };
  return pieces;
}

}  // namespace

const FloatOps& float_ops() { return *chosen_table().floats; }

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

std::shared_ptr<const Int8Rows> quantize_rows(const float* x, int64_t rows, int64_t k,
                                              Activations mode, float scale) {
  return quantize_rows_with(chosen_table(), x, rows, k, mode, scale);
}

Pieces integer_matmul_pieces(MatrixProduct product) {
  const auto& matrix = static_cast<const PanelMatrix&>(*product.w);
  const Int8Rows& x = *product.x;
  NB_CHECK(x.k == matrix.cols());
  Product p;
  p.w = matrix.panels();
  p.m = x.rows;
  p.a = x.codes.data();
  p.bias = product.bias;
  p.y = product.y;
  p.ldy = product.ldy;
  p.blocks_per_segment = segment_blocks(p.w);
  p.segments = (p.w.blocks + p.blocks_per_segment - 1) / p.blocks_per_segment;
  p.pairs = x.pairs.data();
  p.scale = x.scales.data();
  auto terms = std::make_shared<std::vector<int32_t>>();
  fill_terms(x, p, *terms);
  p.term = terms->data();
  return cut(matrix.table(), p, std::move(terms), std::move(product.epilogue));
}

void integer_matmul(const PackedMatrix& w, const Int8Rows& x, const float* bias, float* y,
                    int64_t ldy) {
  run_pieces(std::array{integer_matmul_pieces({&w, &x, bias, y, ldy, {}})});
}

}  // namespace nibble
