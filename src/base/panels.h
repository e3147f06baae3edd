// Rows of a matrix cut into panels for parallel_for: a chunk a row would cost more than many rows.
#pragma once

#include <algorithm>

#include "base/checked.h"
#include "base/threads.h"

namespace nibble {

inline constexpr int64_t kPanelRows = 64;

// body(first, count) for rows [first, first + count), which together are [0, rows).
template <class F>
void each_panel(int64_t rows, const F& body) {
  parallel_for(ceil_div(rows, kPanelRows), [&](int64_t i) {
    body(i * kPanelRows, std::min(kPanelRows, rows - i * kPanelRows));
  });
}

}  // namespace nibble
