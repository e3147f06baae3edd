#include "export/awq_layout.h"

#include "base/threads.h"
#include "formats/weights/awq_order.h"

namespace nibble {
namespace {

constexpr int64_t kOutputs = 8;  // of a word

// of(i): the value of output i of eight.
template <class Of>
uint32_t word_of(Of of) {
  uint32_t word = 0;
  for (size_t i = 0; i < kAwqOrder.size(); ++i)
    word |= static_cast<uint32_t>(of(kAwqOrder[i])) << (4 * i);
  return word;
}

}  // namespace

TensorView awq_codes(const IntegerRows& rows) {
  int64_t n = rows.rows(), k = rows.cols(), words = n / kOutputs;
  std::vector<std::byte> out(static_cast<size_t>(k * words * 4));
  constexpr int64_t kTile = 16;  // words of a row of the file: a cache line
  parallel_for((words + kTile - 1) / kTile, [&](int64_t tile) {
    int64_t first = tile * kTile, count = std::min(kTile, words - first);
    std::vector<uint8_t> codes(static_cast<size_t>(count * kOutputs * k));
    for (int64_t r = 0; r < count * kOutputs; ++r)
      rows.codes(first * kOutputs + r, codes.data() + r * k);
    for (int64_t j = 0; j < k; ++j)
      for (int64_t w = 0; w < count; ++w) {
        uint32_t word = word_of(
            [&](int64_t i) { return codes[static_cast<size_t>((w * kOutputs + i) * k + j)]; });
        std::memcpy(out.data() + (j * words + first + w) * 4, &word, 4);
      }
  });
  return own_bytes(DType::kI32, {k, words}, std::move(out));
}

TensorView awq_zeros(const IntegerRows& rows) {
  int64_t groups = rows.groups(), words = rows.rows() / kOutputs;
  std::vector<std::byte> out(static_cast<size_t>(groups * words * 4));
  for (int64_t g = 0; g < groups; ++g)
    for (int64_t w = 0; w < words; ++w) {
      uint32_t word = word_of([&](int64_t i) { return rows.zero(w * kOutputs + i, g); });
      std::memcpy(out.data() + (g * words + w) * 4, &word, 4);
    }
  return own_bytes(DType::kI32, {groups, words}, std::move(out));
}

}  // namespace nibble
