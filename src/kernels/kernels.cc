#include "kernels/kernels.h"

#include <algorithm>

#include "base/threads.h"
#include "kernels/pack.h"
#include "kernels/registry.h"
#include "kernels/rows.h"

namespace nibble {
namespace {

// Sums stay below 2^31: 255 (a code less its zero point) * 127 * 65536 < 2^31.
constexpr int64_t kLongestGroup = 65536;
// Below this much work a hand-over to another thread (about a microsecond) costs more than it
// gains.
constexpr int64_t kSerialMacs = 1 << 17;
// Enough chunks to even out cores of unequal speed, each long enough for the prefetchers.
constexpr int64_t kChunks = 64, kChunkBytes = 16384;

// What a product needs of its activations, cut to the segments it shares with the weights.
struct Segments {
  std::vector<float> scale;
  std::vector<int32_t> term;
};

// See Product: scale and term for each segment.
void fill_segments(const Int8Rows& x, Product& p, Segments& out) {
  const Panels& w = p.w;
  int factor = w.group_zeros ? -1 : w.layout == CodeLayout::kByte ? -128 : -w.zero;
  out.term.resize(static_cast<size_t>(p.m * p.segments));
  p.scale = x.scales.data();
  if (p.blocks_per_segment == 1) {
    for (size_t i = 0; i < out.term.size(); ++i) out.term[i] = factor * x.sums[i];
  } else {
    for (int64_t group = 0; group * kRowGroup < p.m; ++group) {
      int64_t width = x.width(group), at = group * kRowGroup;
      const int32_t* sums = x.sums.data() + at * p.w.blocks;
      int32_t* term = out.term.data() + at * p.segments;
      std::fill_n(term, p.segments * width, 0);
      for (int64_t b = 0; b < w.blocks; ++b)
        for (int64_t r = 0; r < width; ++r)
          term[b / p.blocks_per_segment * width + r] += factor * sums[b * width + r];
    }
  }
  if (x.per_token) {
    out.scale.resize(static_cast<size_t>(p.m * p.segments));
    for (int64_t group = 0; group * kRowGroup < p.m; ++group) {
      int64_t width = x.width(group), at = group * kRowGroup;
      for (int64_t i = 0; i < p.segments * width; ++i)
        out.scale[static_cast<size_t>(at * p.segments + i)] =
            x.scales[static_cast<size_t>(at + i % width)];
    }
    p.scale = out.scale.data();
  }
  p.term = out.term.data();
}

uint8_t* scratch(int64_t bytes) {
  thread_local AlignedBuffer buffer;
  if (buffer.size() < bytes) buffer = AlignedBuffer((bytes + 127) / 128 * 128);
  return buffer.data();
}

void run(const KernelTable& table, const Product& p) {
  int64_t panels = (p.w.n + p.w.panel_rows - 1) / p.w.panel_rows;
  bool gemm = table.gemm && p.m >= table.gemm_from;
  int64_t unit = gemm ? table.gemm_panels : 1;
  int64_t chunk = std::max((panels + kChunks - 1) / kChunks, kChunkBytes / p.w.panel_bytes);
  chunk = std::max<int64_t>(1, (chunk + unit - 1) / unit) * unit;
  auto body = [&](int64_t i) {
    int64_t first = i * chunk, last = std::min(panels, first + chunk);
    if (gemm)
      table.gemm(p, first, last, scratch(table.gemm_scratch(p)));
    else
      table.gemv(p, first, last);
  };
  int64_t chunks = (panels + chunk - 1) / chunk;
  if (p.w.n * p.w.k * p.m < kSerialMacs) {
    for (int64_t i = 0; i < chunks; ++i) body(i);
  } else {
    parallel_for(chunks, body);
  }
}

}  // namespace

bool has_integer_kernel(const Scheme& scheme, int64_t k) {
  int64_t group = scheme.group_size(k);
  return group <= kLongestGroup && (group == k || group % kBlockCols == 0);
}

std::unique_ptr<PackedMatrix> pack_matrix(const QuantizedMatrix& w) {
  return std::make_unique<PanelMatrix>(chosen_table(), w);
}

std::shared_ptr<const Int8Rows> quantize_rows(const float* x, int64_t rows, int64_t k,
                                              Activations mode) {
  return quantize_rows_with(chosen_table(), x, rows, k, mode);
}

void integer_matmul(const PackedMatrix& w, const Int8Rows& x, const float* bias, float* y,
                    int64_t ldy) {
  const auto& matrix = static_cast<const PanelMatrix&>(w);
  NB_CHECK(x.k == matrix.cols());
  Product p;
  p.w = matrix.panels();
  p.m = x.rows;
  p.a = x.codes.data();
  p.bias = bias;
  p.y = y;
  p.ldy = ldy;
  p.blocks_per_segment = x.per_token ? p.w.blocks_per_group : 1;
  p.segments = (p.w.blocks + p.blocks_per_segment - 1) / p.blocks_per_segment;
  thread_local Segments segments;
  fill_segments(x, p, segments);
  run(matrix.table(), p);
}

}  // namespace nibble
