#include "export/gptq_layout.h"

#include "base/panels.h"
#include "formats/weights/parts.h"

namespace nibble {

TensorView gptq_codes(const IntegerRows& rows) {
  int64_t n = rows.rows(), words = rows.cols() * rows.layout().bits / 32;
  std::span<const std::byte> packed = rows.stored_codes();
  std::vector<std::byte> made(packed.empty() ? static_cast<size_t>(n * words * 4) : 0);
  if (packed.empty()) {
    each_panel(n, [&](int64_t first, int64_t count) {
      for (int64_t r = first; r < first + count; ++r)
        rows.packed_codes(r, made.data() + r * words * 4);
    });
    packed = made;
  }
  return transposed(DType::kI32, packed, n, words);
}

TensorView gptq_zeros(const IntegerRows& rows, int offset) {
  int64_t n = rows.rows(), groups = rows.groups(), words = n * rows.layout().bits / 32;
  std::vector<std::byte> out(static_cast<size_t>(groups * words * 4));
  // Of a symmetric layout every group has what the first has.
  int64_t own = rows.layout().symmetric ? 1 : groups, row = words * 4;
  parallel_for(own, [&](int64_t g) {
    std::vector<uint8_t> zeros(static_cast<size_t>(n));
    for (int64_t r = 0; r < n; ++r)
      zeros[static_cast<size_t>(r)] = static_cast<uint8_t>(rows.zero(r, g) - offset);
    pack_bits(zeros.data(), n, rows.layout().bits, out.data() + g * row);
  });
  for (int64_t g = own; g < groups; ++g)
    std::memcpy(out.data() + g * row, out.data(), static_cast<size_t>(row));
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
