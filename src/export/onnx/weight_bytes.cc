#include "export/onnx/weight_bytes.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/panels.h"

namespace nibble {
namespace {

constexpr int64_t kPiece = 4 << 20;    // bytes written at once
constexpr int64_t kStrip = 128 << 20;  // bytes turned at once

// Columns [begin, end) of all rows to out, (end - begin, n).
template <class Element>
void turn(int64_t n, int64_t k, int64_t begin, int64_t end, const FillRow& fill, std::byte* out) {
  each_panel(n, [&](int64_t first, int64_t count) {
    std::vector<Element> rows(static_cast<size_t>(count * k));
    for (int64_t r = 0; r < count; ++r)
      fill(first + r, reinterpret_cast<std::byte*>(rows.data() + r * k));
    std::array<Element, kPanelRows> column;
    for (int64_t j = begin; j < end; ++j) {
      for (int64_t r = 0; r < count; ++r)
        column[static_cast<size_t>(r)] = rows[static_cast<size_t>(r * k + j)];
      std::memcpy(out + ((j - begin) * n + first) * int64_t{sizeof(Element)}, column.data(),
                  static_cast<size_t>(count) * sizeof(Element));
    }
  });
}

// Two neighbours to a byte, in place -> bytes.
int64_t join_nibbles(std::vector<std::byte>& codes) {
  size_t half = (codes.size() + 1) / 2;
  if (codes.size() % 2 != 0) codes.emplace_back();
  for (size_t i = 0; i < half; ++i)
    codes[i] = (codes[2 * i] & std::byte{15}) | codes[2 * i + 1] << 4;
  return static_cast<int64_t>(half);
}

}  // namespace

Status write_rows(int64_t n, int64_t row_bytes, const FillRow& fill, const ByteSink& sink) {
  int64_t most = std::clamp<int64_t>(kPiece / row_bytes, 1, n);
  for (int64_t at = 0; at < n; at += most) {
    int64_t count = std::min(most, n - at);
    auto bytes = static_cast<size_t>(count * row_bytes);
    auto piece = std::make_shared_for_overwrite<std::byte[]>(bytes);
    each_panel(count, [&](int64_t first, int64_t rows) {
      for (int64_t r = first; r < first + rows; ++r) fill(at + r, piece.get() + r * row_bytes);
    });
    NB_OK(sink({piece.get(), bytes}, piece));
  }
  return {};
}

Status write_turned(int64_t n, int64_t k, int64_t size, bool nibbles, const FillRow& fill,
                    const ByteSink& sink) {
  // An even number of columns, so that no byte is shared by two strips.
  int64_t most = std::clamp<int64_t>(kStrip / (n * size) & ~int64_t{1}, 2, k + k % 2);
  for (int64_t begin = 0; begin < k; begin += most) {
    int64_t end = std::min(k, begin + most);
    auto strip =
        std::make_shared<std::vector<std::byte>>(static_cast<size_t>((end - begin) * n * size));
    auto* turned = size == 1 ? turn<uint8_t> : size == 2 ? turn<uint16_t> : turn<uint32_t>;
    turned(n, k, begin, end, fill, strip->data());
    int64_t bytes = nibbles ? join_nibbles(*strip) : std::ssize(*strip);
    NB_OK(sink(std::span(*strip).first(static_cast<size_t>(bytes)), strip));
  }
  return {};
}

OnnxWeight float_weight(const std::string& name, std::vector<int64_t> dims,
                        std::vector<float> values) {
  return {name, OnnxType::kFloat, std::move(dims),
          [values = std::move(values)](const ByteSink& sink) {
            return sink(std::as_bytes(std::span(values)), nullptr);
          }};
}

}  // namespace nibble
