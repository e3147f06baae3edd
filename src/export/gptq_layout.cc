#include "export/gptq_layout.h"

#include "base/threads.h"

namespace nibble {

TensorView gptq_codes(const IntegerRows& rows) {
  constexpr int64_t kTile = 16;  // columns of the file that are written side by side: a cache line
  int64_t n = rows.rows(), words = rows.cols() * rows.layout().bits / 32;
  std::vector<std::byte> out(static_cast<size_t>(words * n * 4));
  parallel_for((n + kTile - 1) / kTile, [&](int64_t tile) {
    int64_t first = tile * kTile, count = std::min(kTile, n - first);
    std::vector<uint8_t> codes(static_cast<size_t>(rows.cols()));
    std::vector<std::byte> packed(static_cast<size_t>(count * words * 4));
    for (int64_t i = 0; i < count; ++i) {
      rows.codes(first + i, codes.data());
      pack_bits(codes.data(), rows.cols(), rows.layout().bits, packed.data() + i * words * 4);
    }
    for (int64_t w = 0; w < words; ++w)
      for (int64_t i = 0; i < count; ++i)
        std::memcpy(out.data() + (w * n + first + i) * 4, packed.data() + (i * words + w) * 4, 4);
  });
  return own_bytes(DType::kI32, {words, n}, std::move(out));
}

TensorView gptq_zeros(const IntegerRows& rows, int offset) {
  int64_t n = rows.rows(), groups = rows.groups(), words = n * rows.layout().bits / 32;
  std::vector<std::byte> out(static_cast<size_t>(groups * words * 4));
  std::vector<uint8_t> zeros(static_cast<size_t>(n));
  for (int64_t g = 0; g < groups; ++g) {
    for (int64_t r = 0; r < n; ++r)
      zeros[static_cast<size_t>(r)] = static_cast<uint8_t>(rows.zero(r, g) - offset);
    pack_bits(zeros.data(), n, rows.layout().bits, out.data() + g * words * 4);
  }
  return own_bytes(DType::kI32, {groups, words}, std::move(out));
}

TensorView gptq_group_index(const IntegerRows& rows) {
  int64_t k = rows.cols(), size = k / rows.groups();
  std::vector<std::byte> out(static_cast<size_t>(k * 4));
  for (int64_t j = 0; j < k; ++j) {
    auto group = static_cast<int32_t>(j / size);
    std::memcpy(out.data() + j * 4, &group, 4);
  }
  return own_bytes(DType::kI32, {k}, std::move(out));
}

}  // namespace nibble
