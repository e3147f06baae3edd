#include "kernels/pack.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <vector>

#include "base/threads.h"

namespace nibble {
namespace {

constexpr int64_t kAlign = 128;  // two lines: the adjacent-line prefetcher fetches pairs
constexpr int64_t kHugePage = int64_t{1} << 21, kPiece = int64_t{1} << 26;

int64_t round_up(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

CodeLayout layout_for(int bits) {
  switch (bits) {
    case 2:
      return CodeLayout::kTwoBit;
    case 3:
      return CodeLayout::kThreeBit;
    case 4:
      return CodeLayout::kNibble;
    default:
      return CodeLayout::kByte;
  }
}

int64_t vectors_per_block(CodeLayout layout) {
  switch (layout) {
    case CodeLayout::kTwoBit:
      return 2;
    case CodeLayout::kThreeBit:
      return 3;
    case CodeLayout::kNibble:
      return 4;
    case CodeLayout::kByte:
      break;
  }
  return 8;
}

ScaleLayout scale_layout(DType type) {
  if (type == DType::kF16) return ScaleLayout::kF16;
  return type == DType::kBF16 ? ScaleLayout::kBF16 : ScaleLayout::kF32;
}

int64_t scale_bytes(const Panels& p) {
  return p.groups * p.panel_rows * (p.scales == ScaleLayout::kF32 ? 4 : 2);
}

Panels shape_for(const KernelTable& table, const QuantizedMatrix& w) {
  const Scheme& scheme = w.scheme();
  Panels p;
  p.panel_rows = table.panel_rows;
  p.n = w.rows();
  p.k = w.cols();
  p.blocks = (p.k + kBlockCols - 1) / kBlockCols;
  p.groups = w.groups();
  p.blocks_per_group = p.groups == 1 ? p.blocks : w.group_size() / kBlockCols;
  p.layout = layout_for(scheme.bits);
  p.scales = scale_layout(w.scale_view().dtype);
  bool byte = p.layout == CodeLayout::kByte;
  // 5 to 7 bits less their zero point fit a signed byte, so these need no zero points later.
  p.group_zeros = scheme.asymmetric() && (!byte || scheme.bits == 8);
  p.zero = byte || scheme.asymmetric() ? 0 : scheme.symmetric_zero();
  p.block_bytes = vectors_per_block(p.layout) * 4 * p.panel_rows;
  p.scale_offset = round_up(p.blocks * p.block_bytes, kAlign);
  p.zero_offset = p.scale_offset + round_up(scale_bytes(p), kAlign);
  int64_t zero_bytes = p.group_zeros ? p.groups * p.panel_rows : 0;
  p.panel_bytes = p.zero_offset + round_up(zero_bytes, kAlign);
  return p;
}

int64_t all_panels(const Panels& p) {
  return (p.n + p.panel_rows - 1) / p.panel_rows * p.panel_bytes;
}

uint32_t load4(const uint8_t* p) {
  uint32_t v;
  std::memcpy(&v, p, 4);
  return v;
}

// One row's 32 codes to lane `lane` of a block's vectors, each `stride` bytes: see Panels.
void pack_block(CodeLayout layout, const uint8_t* codes, uint8_t* lane, int64_t stride) {
  uint32_t q[8];
  for (int g = 0; g < 8; ++g) q[g] = load4(codes + 4 * g);
  auto put = [&](int i, uint32_t v) { std::memcpy(lane + i * stride, &v, 4); };
  constexpr uint32_t low2 = 0x03030303u, bit2 = 0x04040404u;
  switch (layout) {
    case CodeLayout::kNibble:
      for (int i = 0; i < 4; ++i) put(i, q[i] | q[i + 4] << 4);
      break;
    case CodeLayout::kTwoBit:
      for (int i = 0; i < 2; ++i)
        put(i, q[4 * i] | q[4 * i + 1] << 2 | q[4 * i + 2] << 4 | q[4 * i + 3] << 6);
      break;
    case CodeLayout::kThreeBit:
      put(0, q[0] | q[1] << 3 | (q[6] & low2) << 6);
      put(1, q[2] | q[3] << 3 | (q[7] & low2) << 6);
      put(2, q[4] | q[5] << 3 | (q[6] & bit2) << 4 | (q[7] & bit2) << 5);
      break;
    case CodeLayout::kByte:
      for (int i = 0; i < 8; ++i) put(i, q[i]);
      break;
  }
}

// Codes as signed bytes: less 128 where zero points stay, else less their zero points.
void subtract_zeros(const QuantizedMatrix& w, bool group_zeros, int64_t row, uint8_t* codes) {
  int64_t size = w.group_size(), k = w.cols();
  if (w.scheme().group == Scheme::kTensor) size = k;
  for (int64_t g = 0; g < w.groups(); ++g) {
    int zero = group_zeros ? 128 : w.grid(row, g).zero;
    for (int64_t i = g * size, end = std::min(k, i + size); i < end; ++i)
      codes[i] = static_cast<uint8_t>(codes[i] - zero);
  }
}

// Rows that are not there and gaps that alignment leaves hold zeros.
void clear(uint8_t* panel, int64_t begin, int64_t end) {
  std::memset(panel + begin, 0, static_cast<size_t>(end - begin));
}

// One row's scales, as stored, to every `step`-th place of `out`.
template <class Word>
void spread_scales(const QuantizedMatrix& w, int64_t row, int64_t step, uint8_t* out) {
  const std::byte* from = w.scale_view().bytes.data();
  bool one = w.scheme().group == Scheme::kTensor;
  for (int64_t g = 0; g < w.groups(); ++g) {
    int64_t i = one ? 0 : row * w.groups() + g;
    std::memcpy(out + g * step * static_cast<int64_t>(sizeof(Word)),
                from + i * static_cast<int64_t>(sizeof(Word)), sizeof(Word));
  }
}

uint8_t* aligned_memory(int64_t align, int64_t bytes) {
  auto* p = static_cast<uint8_t*>(
      std::aligned_alloc(static_cast<size_t>(align), static_cast<size_t>(round_up(bytes, align))));
  if (!p) throw std::bad_alloc();
  return p;
}

// What is not used of it is never touched, and so not resident.
struct Piece {
  explicit Piece(int64_t bytes)
      : size(round_up(bytes, kHugePage)), data(aligned_memory(kHugePage, size)) {
#if defined(MADV_HUGEPAGE)
    madvise(data.get(), static_cast<size_t>(size), MADV_HUGEPAGE);
#endif
  }
  struct Free {
    void operator()(uint8_t* p) const { std::free(p); }
  };
  int64_t size, used = 0;
  std::unique_ptr<uint8_t[], Free> data;
};

}  // namespace

AlignedBuffer::AlignedBuffer(int64_t bytes) : size_(bytes) {
  data_.reset(aligned_memory(kAlign, bytes));
}

std::shared_ptr<uint8_t> take_packed_memory(int64_t bytes) {
  static std::mutex mutex;
  static std::weak_ptr<Piece> last;
  std::lock_guard lock(mutex);
  bytes = round_up(bytes, kAlign);
  std::shared_ptr<Piece> piece = last.lock();
  if (!piece || piece->used + bytes > piece->size)
    last = piece = std::make_shared<Piece>(std::max(bytes, kPiece));
  uint8_t* at = piece->data.get() + piece->used;
  piece->used += bytes;
  return {piece, at};
}

void AlignedBuffer::Free::operator()(uint8_t* p) const { std::free(p); }

PanelMatrix::PanelMatrix(const KernelTable& table, const QuantizedMatrix& w,
                         std::shared_ptr<uint8_t> packed)
    : table_(table),
      panels_(shape_for(table, w)),
      bytes_(all_panels(panels_)),
      memory_(std::move(packed)) {
  panels_.data = memory_.get();
}

PanelMatrix::PanelMatrix(const KernelTable& table, const QuantizedMatrix& w)
    : PanelMatrix(table, w, take_packed_memory(packed_size(table, w))) {
  parallel_for(bytes_ / panels_.panel_bytes, [&](int64_t i) { pack_panel(w, i); });
}

int64_t PanelMatrix::packed_size(const KernelTable& table, const QuantizedMatrix& w) {
  return all_panels(shape_for(table, w));
}

void PanelMatrix::pack_panel(const QuantizedMatrix& w, int64_t panel) {
  const Panels& p = panels_;
  uint8_t* out = memory_.get() + panel * p.panel_bytes;
  bool short_panel = (panel + 1) * p.panel_rows > p.n;
  clear(out, short_panel ? 0 : p.blocks * p.block_bytes, p.scale_offset);
  clear(out, short_panel ? p.scale_offset : p.scale_offset + scale_bytes(p), p.zero_offset);
  clear(out, p.zero_offset, p.panel_bytes);
  thread_local std::vector<uint8_t> codes;
  codes.assign(static_cast<size_t>(p.blocks * kBlockCols), 0);
  for (int64_t r = 0; r < p.panel_rows; ++r) {
    int64_t row = panel * p.panel_rows + r;
    if (row >= p.n) break;
    w.codes(row, codes.data());
    if (p.layout == CodeLayout::kByte) subtract_zeros(w, p.group_zeros, row, codes.data());
    for (int64_t b = 0; b < p.blocks; ++b)
      pack_block(p.layout, codes.data() + b * kBlockCols, out + b * p.block_bytes + 4 * r,
                 4 * p.panel_rows);
    if (p.scales == ScaleLayout::kF32)
      spread_scales<uint32_t>(w, row, p.panel_rows, out + p.scale_offset + 4 * r);
    else
      spread_scales<uint16_t>(w, row, p.panel_rows, out + p.scale_offset + 2 * r);
    if (!p.group_zeros) continue;
    int moved = p.layout == CodeLayout::kByte ? 128 : 0;
    for (int64_t g = 0; g < p.groups; ++g)
      out[p.zero_offset + g * p.panel_rows + r] = static_cast<uint8_t>(w.grid(row, g).zero - moved);
  }
}

}  // namespace nibble
