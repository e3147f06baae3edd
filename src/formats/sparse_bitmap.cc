#include "formats/sparse_bitmap.h"

#include <bit>
#include <cstring>

#include "base/panels.h"

namespace nibble {
namespace {

uint32_t word_at(const std::byte* words, int64_t i) {
  uint32_t w;
  std::memcpy(&w, words + i * 4, sizeof w);
  return w;
}

// `bits` bits from bit `at` on of a run of `size` bytes.
uint8_t code_at(std::span<const std::byte> bytes, int64_t at, int bits) {
  auto byte = static_cast<size_t>(at / 8);
  auto held = static_cast<unsigned>(bytes[byte]);
  if (byte + 1 < bytes.size()) held |= static_cast<unsigned>(bytes[byte + 1]) << 8;
  return static_cast<uint8_t>(held >> at % 8 & ((1u << bits) - 1));
}

// What each column of a row is where nothing is kept.
uint8_t zero_of(const Scheme& s, const std::vector<uint8_t>& zeros, int64_t k, int64_t row,
                int64_t column) {
  if (zeros.empty()) return static_cast<uint8_t>(s.symmetric_zero());
  if (s.group == Scheme::kTensor) return zeros[0];
  return zeros[static_cast<size_t>(row * s.groups(k) + column / s.group_size(k))];
}

}  // namespace

void use_bitmap(const std::string& module, const QuantizedMatrix& w,
                std::vector<NamedTensor>& tensors) {
  const Scheme& s = w.scheme();
  int64_t n = w.rows(), k = w.cols(), words = ceil_div(k, 32);
  std::vector<uint8_t> zeros(w.zeros().begin(), w.zeros().end());
  std::vector<std::byte> map(static_cast<size_t>(n * words * 4));
  std::vector<uint8_t> codes(static_cast<size_t>(k)), kept;
  for (int64_t r = 0; r < n; ++r) {
    w.codes(r, codes.data());
    for (int64_t j = 0; j < k; ++j) {
      if (codes[static_cast<size_t>(j)] == zero_of(s, zeros, k, r, j)) continue;
      map[static_cast<size_t>(r * words * 4 + j / 8)] |= std::byte{1} << static_cast<int>(j % 8);
      kept.push_back(codes[static_cast<size_t>(j)]);
    }
  }
  auto count = static_cast<int64_t>(kept.size());
  int64_t kept_words = ceil_div(count * s.bits, 32);
  int64_t dense = n * (s.bits == 8 ? k : QuantizedMatrix::row_bytes(s, k));
  if ((n * words + kept_words) * 4 >= dense) return;
  std::vector<std::byte> packed(static_cast<size_t>(kept_words * 4));
  pack_bits(kept.data(), count, s.bits, packed.data());
  std::erase_if(tensors, [&](const NamedTensor& t) {
    return t.name == module + ".weight_packed" || t.name == module + ".weight" ||
           t.name == module + ".weight_shape";
  });
  tensors.push_back({module + kBitmapPart, own_bytes(DType::kI32, {n, words}, std::move(map))});
  tensors.push_back({module + kKeptPart, own_bytes(DType::kI32, {kept_words}, std::move(packed))});
}

Result<TensorView> dense_codes(const Checkpoint& checkpoint, const std::string& module,
                               const Scheme& s, int64_t n, int64_t k,
                               const std::vector<uint8_t>& zeros) {
  int64_t words = ceil_div(k, 32);
  TensorView map = NB_TRY(checkpoint.get(module + kBitmapPart, std::array{n, words}));
  TensorView kept = NB_TRY(checkpoint.get(module + kKeptPart));
  auto wrong = [&](const std::string& what) {
    return fail("{}: {}: {}", checkpoint.folder(), in_quotes(module), what);
  };
  if (map.dtype != DType::kI32 || kept.dtype != DType::kI32)
    return wrong("weight_bitmap and weight_kept should be I32");
  // Where each row's kept codes begin, and by that how many there are in all.
  std::vector<int64_t> first(static_cast<size_t>(n + 1));
  for (int64_t r = 0; r < n; ++r) {
    int64_t count = 0;
    for (int64_t w = 0; w < words; ++w)
      count += std::popcount(word_at(map.bytes.data(), r * words + w));
    if (k % 32 && word_at(map.bytes.data(), r * words + words - 1) >> k % 32)
      return wrong(
          fmt::format("weight_bitmap has bits behind the last of {} columns in row {}", k, r));
    first[static_cast<size_t>(r + 1)] = first[static_cast<size_t>(r)] + count;
  }
  int64_t total = first.back();
  if (kept.shape != std::vector{ceil_div(total * s.bits, 32)})
    return wrong(
        fmt::format("weight_bitmap has {} bits set, which weight_kept with {} bytes does not hold",
                    total, kept.bytes.size()));
  int64_t row_bytes = QuantizedMatrix::row_bytes(s, k);
  std::vector<std::byte> out(static_cast<size_t>(n * row_bytes));
  each_panel(n, [&](int64_t begin, int64_t count) {
    std::vector<uint8_t> codes(static_cast<size_t>(k));
    for (int64_t r = begin; r < begin + count; ++r) {
      int64_t at = first[static_cast<size_t>(r)] * s.bits;
      for (int64_t j = 0; j < k; ++j) {
        bool is_kept = word_at(map.bytes.data(), r * words + j / 32) >> j % 32 & 1;
        codes[static_cast<size_t>(j)] =
            is_kept ? code_at(kept.bytes, at, s.bits) : zero_of(s, zeros, k, r, j);
        if (is_kept) at += s.bits;
      }
      pack_bits(codes.data(), k, s.bits, out.data() + r * row_bytes);
    }
  });
  map.release();
  kept.release();
  return own_bytes(DType::kI32, {n, row_bytes / 4}, std::move(out));
}

}  // namespace nibble
