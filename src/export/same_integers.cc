#include "export/same_integers.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/panels.h"

namespace nibble {
namespace {

// Codes and grids of one row.
struct Row {
  std::vector<uint8_t> codes;
  std::vector<Grid> grids;
  void read(const QuantizedMatrix& w, int64_t row) {
    codes.resize(static_cast<size_t>(w.cols()));
    grids.resize(static_cast<size_t>(w.groups()));
    w.codes(row, codes.data());
    w.grids(row, grids);
  }
};

// Codes a and b of columns that share the grids p and q.
bool same_columns(const uint8_t* a, const Grid& p, const uint8_t* b, const Grid& q, size_t count) {
  if (p.scale != q.scale || p.low != q.low || p.levels != q.levels) return false;
  int moved = q.zero - p.zero;
  if (moved == 0) return std::memcmp(a, b, count) == 0;
  bool same = !p.levels;
  for (size_t i = 0; i < count; ++i) same &= b[i] - a[i] == moved;
  return same;
}

bool same_row(const QuantizedMatrix& a, const QuantizedMatrix& b, int64_t row, int64_t step) {
  thread_local Row x, y;
  x.read(a, row);
  y.read(b, row);
  int64_t size_a = a.group_size(), size_b = b.group_size();
  for (int64_t at = 0; at < a.cols(); at += step)
    if (!same_columns(x.codes.data() + at, x.grids[static_cast<size_t>(at / size_a)],
                      y.codes.data() + at, y.grids[static_cast<size_t>(at / size_b)],
                      static_cast<size_t>(std::min(step, a.cols() - at))))
      return false;
  return true;
}

}  // namespace

bool same_integers(const QuantizedMatrix& a, const QuantizedMatrix& b) {
  NB_CHECK(a.rows() == b.rows() && a.cols() == b.cols());
  auto [step, longer] = std::minmax({a.group_size(), b.group_size()});  // values, not references
  if (longer % step != 0) return false;
  std::atomic<bool> same = true;
  each_panel(a.rows(), [&, step = step](int64_t first, int64_t count) {
    for (int64_t r = first; same && r < first + count; ++r)
      if (!same_row(a, b, r, step)) same = false;
  });
  return same;
}

}  // namespace nibble
