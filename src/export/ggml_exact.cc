#include "export/ggml_exact.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <string_view>

#include "base/panels.h"
#include "tensor/ggml_grids.h"

namespace nibble {
namespace {

constexpr int64_t kBlock = 32;

struct ExactType {
  std::string_view name;
  int bits;
  bool affine;  // code * d + m; else (code - 2^(bits - 1)) * d
};
constexpr std::array kExact = {ExactType{"Q4_0", 4, false}, ExactType{"Q4_1", 4, true},
                               ExactType{"Q5_0", 5, false}, ExactType{"Q5_1", 5, true},
                               ExactType{"Q8_0", 8, false}};

const ExactType* find(const GgmlType& type) {
  for (const ExactType& t : kExact)
    if (t.name == type.name) return &t;
  return nullptr;
}

bool is_half(float v) { return f16_to_float(float_to_f16(v)) == v; }

// Whether groups end where blocks do.
bool blocks_fit(const Scheme& s, int64_t k) {
  return k % kBlock == 0 && (s.groups(k) == 1 || s.group_size(k) % kBlock == 0);
}

// Whether the type has the codes of a group with this zero point.
bool codes_fit(const ExactType& t, const Scheme& s, int zero) {
  int middle = 1 << (t.bits - 1);
  return t.affine ? s.bits <= t.bits
                  : s.min_code() - zero >= -middle && s.max_code() - zero < middle;
}

// What a type keeps of some rows.
struct RowFit {
  bool fits = true;     // codes and scales
  bool offsets = true;  // what an affine grid adds to its values
  void join(const RowFit& other) {
    fits &= other.fits;
    offsets &= other.offsets;
  }
};

// Whether float16 numbers are numbers or infinite.
bool no_nan(std::span<const std::byte> halves) {
  bool out = true;
  for (size_t i = 0; i + 1 < halves.size(); i += 2) {
    uint16_t h;
    std::memcpy(&h, halves.data() + i, sizeof h);
    out &= (h & 0x7fffu) <= 0x7c00u;
  }
  return out;
}

RowFit fit_of(const ExactType& t, const QuantizedMatrix& w, int64_t first, int64_t last) {
  RowFit out;
  bool halves = w.scale_view().dtype == DType::kF16;
  if (halves && !t.affine && !w.scheme().asymmetric()) {
    auto row = static_cast<size_t>(w.groups() * dtype_size(DType::kF16));
    auto begin = static_cast<size_t>(first), count = static_cast<size_t>(last - first);
    out.fits = codes_fit(t, w.scheme(), w.scheme().symmetric_zero()) &&
               no_nan(w.scale_view().bytes.subspan(begin * row, count * row));
    return out;
  }
  std::vector<Grid> grids(static_cast<size_t>(w.groups()));
  for (int64_t r = first; r < last; ++r) {
    w.grids(r, grids);
    for (const Grid& g : grids) {
      out.fits &= codes_fit(t, w.scheme(), g.zero);
      out.fits &= halves ? !std::isnan(g.scale) : is_half(g.scale);
      if (!t.affine) continue;
      float low = -static_cast<float>(g.zero) * g.scale;
      out.offsets &= is_half(low);
      out.fits &= std::isfinite(f16_to_float(float_to_f16(low)));
    }
  }
  return out;
}

// A row on its way into blocks.
struct BlockRow {
  std::vector<uint8_t> codes;
  std::vector<Grid> grids;
  std::vector<float> scales;
  std::vector<uint16_t> halves;  // the scales
  std::vector<uint16_t> d, m;
  void read(const QuantizedMatrix& w, int64_t row) {
    codes.resize(static_cast<size_t>(w.cols()));
    grids.resize(static_cast<size_t>(w.groups()));
    d.resize(static_cast<size_t>(w.cols() / kBlock));
    m.resize(d.size());
    w.codes(row, codes.data());
    w.grids(row, grids);
    scales.clear();
    for (const Grid& g : grids) scales.push_back(g.scale);
    halves.resize(scales.size());
    from_float(DType::kF16, scales.data(), w.groups(), reinterpret_cast<std::byte*>(halves.data()));
  }
};

}  // namespace

Kept kept_by(const GgmlType& type, const QuantizedMatrix& w) {
  if (w.scheme().blocks) return w.scheme().blocks == &type ? Kept::kAll : Kept::kNothing;
  const ExactType* t = find(type);
  if (!t || !blocks_fit(w.scheme(), w.cols())) return Kept::kNothing;
  int64_t rows = w.scheme().group == Scheme::kTensor ? 1 : w.rows();
  std::vector<RowFit> parts(static_cast<size_t>(ceil_div(rows, kPanelRows)));
  each_panel(rows, [&](int64_t first, int64_t count) {
    parts[static_cast<size_t>(first / kPanelRows)] = fit_of(*t, w, first, first + count);
  });
  RowFit all;
  for (const RowFit& part : parts) all.join(part);
  if (!all.fits) return Kept::kNothing;
  return all.offsets ? Kept::kAll : Kept::kIntegers;
}

const GgmlType* exact_ggml_type(const QuantizedMatrix& w) {
  if (w.scheme().blocks) return w.scheme().blocks;
  for (const ExactType& t : kExact) {
    const GgmlType* type = find_ggml_type(t.name);
    if (kept_by(*type, w) == Kept::kAll) return type;
  }
  return nullptr;
}

bool promises_to_keep(const GgmlType& type, const Scheme& s, int64_t k) {
  if (s.blocks) return s.blocks == &type;
  const ExactType* t = find(type);
  // What affine types add to a group's values is seldom a float16 number.
  if (!t || t->affine || !blocks_fit(s, k)) return false;
  if (!s.asymmetric()) return codes_fit(*t, s, s.symmetric_zero());
  return codes_fit(*t, s, 0) && codes_fit(*t, s, s.max_code());
}

const GgmlType* promised_ggml_type(const Scheme& s, int64_t k) {
  if (s.blocks) return s.blocks;
  for (const ExactType& t : kExact)
    if (const GgmlType* type = find_ggml_type(t.name); promises_to_keep(*type, s, k)) return type;
  return nullptr;
}

void exact_ggml_row(const GgmlType& type, const QuantizedMatrix& w, int64_t row, std::byte* out) {
  if (w.scheme().blocks) {
    int64_t bytes = QuantizedMatrix::row_bytes(w.scheme(), w.cols());
    std::memcpy(out, w.code_view().bytes.data() + row * bytes, static_cast<size_t>(bytes));
    return;
  }
  const ExactType& t = *find(type);
  thread_local BlockRow r;
  r.read(w, row);
  // Values of their own: what is stored below may alias r.
  const Grid* grids = r.grids.data();
  const uint16_t* halves = r.halves.data();
  uint16_t *d = r.d.data(), *m = r.m.data();
  uint8_t* q = r.codes.data();
  int64_t blocks = w.cols() / kBlock, each = w.group_size() / kBlock, middle = 1 << (t.bits - 1);
  for (int64_t at = 0; at < blocks; at += each, ++grids, ++halves) {
    int64_t end = std::min(blocks, at + each);
    std::fill(d + at, d + end, *halves);
    if (t.affine)
      std::fill(m + at, m + end, float_to_f16(-(static_cast<float>(grids->zero) * grids->scale)));
    else if (int64_t moved = middle - grids->zero; moved != 0)
      for (int64_t j = at * kBlock; j < end * kBlock; ++j)
        q[j] = static_cast<uint8_t>(q[j] + moved);
  }
  put_ggml_blocks(type, blocks, d, m, q, out);
}

}  // namespace nibble
