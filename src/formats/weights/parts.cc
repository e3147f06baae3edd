#include "formats/weights/parts.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/checked.h"
#include "base/json.h"
#include "base/threads.h"

namespace nibble {

std::string place_of(const Checkpoint& checkpoint, const std::string& module) {
  return fmt::format("{}: {}", checkpoint.folder(), in_quotes(module));
}

Result<TensorView> get_part(const Checkpoint& checkpoint, const std::string& module,
                            const char* suffix, std::initializer_list<DType> dtypes,
                            std::span<const int64_t> shape) {
  NB_OK(checkpoint.get(module + suffix, shape));
  return get_part(checkpoint, module, suffix, dtypes);
}

Result<TensorView> get_part(const Checkpoint& checkpoint, const std::string& module,
                            const char* suffix, std::initializer_list<DType> dtypes) {
  TensorView view = NB_TRY(checkpoint.get(module + suffix));
  if (std::find(dtypes.begin(), dtypes.end(), view.dtype) != dtypes.end()) return view;
  std::string wanted;
  for (DType t : dtypes) wanted += (wanted.empty() ? "" : ", ") + std::string(dtype_name(t));
  return fail("{}: {} is of dtype {}, should be {}", place_of(checkpoint, module), suffix + 1,
              dtype_name(view.dtype), wanted);
}

Status check_finite(const TensorView& view, const std::string& place, const char* suffix) {
  constexpr int64_t kPiece = 1024;
  float piece[kPiece];
  for (int64_t at = 0; at < view.elements(); at += kPiece) {
    int64_t count = std::min(kPiece, view.elements() - at);
    to_float(view.dtype, view.bytes.data() + at * dtype_size(view.dtype), count, piece);
    bool finite = true;
    for (int64_t i = 0; i < count; ++i)
      finite &= std::abs(piece[i]) <= std::numeric_limits<float>::max();
    if (finite) continue;
    auto bad = std::find_if(piece, piece + count, [](float v) { return !std::isfinite(v); });
    return fail("{}: {} has the value {}", place, suffix + 1, *bad);
  }
  return {};
}

Result<std::vector<float>> finite_floats(const TensorView& view, const std::string& place,
                                         const char* suffix) {
  NB_OK(check_finite(view, place, suffix));
  std::vector<float> out(static_cast<size_t>(view.elements()));
  to_float(view.dtype, view.bytes.data(), view.elements(), out.data());
  return out;
}

int64_t bytes_of_parts(const Checkpoint& checkpoint, const std::string& module,
                       std::initializer_list<const char*> suffixes) {
  int64_t sum = 0;
  for (const char* suffix : suffixes)
    if (auto view = checkpoint.get(module + suffix))
      sum += static_cast<int64_t>(view->bytes.size());
  return sum;
}

Result<std::vector<int32_t>> column_groups(const Checkpoint& checkpoint, const std::string& module,
                                           const char* suffix, int64_t k, int64_t groups,
                                           int64_t group_size) {
  if (!checkpoint.has(module + suffix)) return std::vector<int32_t>{};
  TensorView view = NB_TRY(get_part(checkpoint, module, suffix, {DType::kI32}, std::array{k}));
  std::vector<int32_t> out(static_cast<size_t>(k));
  std::memcpy(out.data(), view.bytes.data(), view.bytes.size());
  bool unset = std::all_of(out.begin(), out.end(), [](int32_t g) { return g == -1; });
  bool plain = true;
  for (int64_t j = 0; j < k && !unset; ++j) {
    int32_t g = out[static_cast<size_t>(j)];
    if (g < 0 || g >= groups)
      return fail("{}: {} has the value {} at column {}, should be below {}",
                  place_of(checkpoint, module), suffix + 1, g, j, groups);
    plain &= g == j / group_size;
  }
  if (unset || plain) out.clear();
  return out;
}

TensorView regrouped_floats(const QuantizedMatrix& w, std::span<const int32_t> groups) {
  int64_t n = w.rows(), k = w.cols();
  std::vector<std::byte> bytes(static_cast<size_t>(n * k * 4));
  auto* out = reinterpret_cast<float*>(bytes.data());
  parallel_for(n, [&](int64_t row) {
    std::vector<uint8_t> codes(static_cast<size_t>(k));
    std::vector<Grid> grids(static_cast<size_t>(w.groups()));
    w.grids(row, grids);
    w.codes(row, codes.data());
    for (int64_t j = 0; j < k; ++j) {
      auto at = static_cast<size_t>(j);
      out[row * k + j] = decode(codes[at], grids[static_cast<size_t>(groups[at])]);
    }
  });
  return own_bytes(DType::kF32, {n, k}, std::move(bytes));
}

namespace {

constexpr int64_t kLines = 128;  // bytes: two lines of the cache, which memory gives together

// At most so many; all of them without a call.
void copy_lines(std::byte* to, const std::byte* from, int64_t size) {
  if (size == kLines)
    std::memcpy(to, from, kLines);
  else
    std::memcpy(to, from, static_cast<size_t>(size));
}

// A tile, whose rows and columns are whole lines, passes through memory of its own: rows a power of
// two apart would drive each other out of the cache.
template <class T>
void transpose(const std::byte* a, int64_t rows, int64_t cols, std::byte* out) {
  constexpr int64_t kSize = sizeof(T), kTile = kLines / kSize;
  parallel_for(ceil_div(cols, kTile), [&](int64_t chunk) {
    int64_t c0 = chunk * kTile, wide = std::min(kTile, cols - c0);
    T tile[kTile][kTile] = {}, turned[kTile][kTile];
    for (int64_t r0 = 0; r0 < rows; r0 += kTile) {
      int64_t high = std::min(kTile, rows - r0);
      for (int64_t r = 0; r < high; ++r)
        copy_lines(reinterpret_cast<std::byte*>(tile[r]), a + ((r0 + r) * cols + c0) * kSize,
                   wide * kSize);
      for (int64_t c = 0; c < kTile; ++c)
        for (int64_t r = 0; r < kTile; ++r) turned[c][r] = tile[r][c];
      for (int64_t c = 0; c < wide; ++c)
        copy_lines(out + ((c0 + c) * rows + r0) * kSize,
                   reinterpret_cast<const std::byte*>(turned[c]), high * kSize);
    }
  });
}

}  // namespace

TensorView transposed(DType dtype, std::span<const std::byte> a, int64_t rows, int64_t cols) {
  int64_t size = dtype_size(dtype);
  NB_CHECK((size == 2 || size == 4) && std::ssize(a) == rows * cols * size);
  // Not of zeros, which one thread would write first.
  auto out = std::make_shared_for_overwrite<std::byte[]>(a.size());
  if (size == 2)
    transpose<uint16_t>(a.data(), rows, cols, out.get());
  else
    transpose<uint32_t>(a.data(), rows, cols, out.get());
  return {dtype, {cols, rows}, {out.get(), a.size()}, out, nullptr};
}

}  // namespace nibble
