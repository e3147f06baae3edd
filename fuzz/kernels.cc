// Every kernel table that runs here against the reference, bit for bit, on shapes, schemes, codes,
// scales and activations that the input's bytes say. A file may hold any of them, so nothing here is
// kept in the ranges that our own quantizers use.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "kernels/pack.h"
#include "kernels/registry.h"
#include "kernels/rows.h"

namespace nibble {
namespace {

// The input's bytes; beyond the last, numbers that follow from them.
class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  uint8_t next() {
    uint8_t v = at_ < size_ ? data_[at_++] : static_cast<uint8_t>(state_ >> 56);
    state_ = (state_ ^ v) * 6364136223846793005u + 1442695040888963407u;
    return v;
  }
  int64_t below(int64_t n) { return (next() << 8 | next()) % n; }
  float any_float() {
    uint32_t bits = 0;
    for (int i = 0; i < 4; ++i) bits = bits << 8 | next();
    float v;
    std::memcpy(&v, &bits, sizeof v);
    return v;
  }
  // Mostly of a size whose products stay in range; any bits at times.
  float some_float() {
    uint8_t kind = next();
    if (kind < 16) return any_float();
    if (kind < 32) return 0;
    return std::ldexp(static_cast<float>(static_cast<int8_t>(next())), kind % 24 - 16);
  }

 private:
  const uint8_t* data_;
  size_t size_, at_ = 0;
  uint64_t state_ = 1;
};

Scheme some_scheme(Bytes& in) {
  Scheme s;
  s.bits = 2 + static_cast<int>(in.below(7));
  constexpr int64_t kGroups[] = {Scheme::kTensor, Scheme::kChannel, 32, 64, 96, 128, 160};
  s.group = static_cast<decltype(s.group)>(kGroups[in.below(std::size(kGroups))]);
  constexpr Symmetry kSymmetries[] = {Symmetry::kSymmetric, Symmetry::kFullRange,
                                      Symmetry::kAsymmetric};
  s.symmetry = kSymmetries[in.below(3)];
  constexpr DType kScales[] = {DType::kF16, DType::kBF16, DType::kF32};
  s.scale_type = kScales[in.below(3)];
  return s;
}

QuantizedMatrix some_matrix(Bytes& in, const Scheme& s, int64_t n, int64_t k) {
  QuantizedBuilder builder(s, n, k);
  std::vector<uint8_t> codes(static_cast<size_t>(k));
  std::vector<Grid> grids(static_cast<size_t>(s.group == Scheme::kTensor ? 1 : s.groups(k)));
  for (int64_t row = 0; row < n; ++row) {
    for (uint8_t& c : codes) c = static_cast<uint8_t>(in.next() & ((1 << s.bits) - 1));
    for (Grid& g : grids) {
      g.scale = in.some_float();
      g.zero = s.asymmetric() ? in.next() & ((1 << s.bits) - 1) : s.symmetric_zero();
    }
    builder.set_row(row, codes.data(), grids);
  }
  return builder.finish();
}

std::vector<float> product(const KernelTable& table, const QuantizedMatrix& w,
                           const std::vector<float>& x, int64_t m, Activations mode, float scale) {
  PanelMatrix packed(table, w);
  auto rows = quantize_rows_with(table, x.data(), m, w.cols(), mode, scale);
  std::vector<float> y(static_cast<size_t>(m * w.rows()));
  integer_matmul(packed, *rows, nullptr, y.data(), w.rows());
  return y;
}

// One NaN is as good as another.
bool same(float a, float b) {
  return (std::isnan(a) && std::isnan(b)) || std::memcmp(&a, &b, sizeof a) == 0;
}

void compare_tables(Bytes in) {
  Scheme s = some_scheme(in);
  int64_t n = 1 + in.below(40), k = 1 + in.below(700), m = 1 + in.below(in.next() % 2 ? 4 : 40);
  if (!has_integer_kernel(s, k)) return;
  constexpr Activations kModes[] = {Activations::kInt8Block32, Activations::kInt8Token,
                                    Activations::kInt8Static};
  Activations mode = kModes[in.below(3)];
  float scale = std::ldexp(1 + static_cast<float>(in.next()), -static_cast<int>(in.below(24)));
  QuantizedMatrix w = some_matrix(in, s, n, k);
  std::vector<float> x(static_cast<size_t>(m * k));
  for (float& v : x) v = in.some_float();
  const KernelTable& reference = *kernel_tables().back();
  std::vector<float> want = product(reference, w, x, m, mode, scale);
  for (const KernelTable* table : kernel_tables()) {
    if (table == &reference || !runs_here(*table)) continue;
    std::vector<float> got = product(*table, w, x, m, mode, scale);
    for (size_t i = 0; i < got.size(); ++i)
      if (!same(got[i], want[i])) {
        std::fprintf(stderr, "%s: %s n=%d k=%d m=%d mode=%d: element %d is %.9g, reference %.9g\n",
                     table->name, s.name().c_str(), static_cast<int>(n), static_cast<int>(k),
                     static_cast<int>(m), static_cast<int>(mode), static_cast<int>(i),
                     static_cast<double>(got[i]), static_cast<double>(want[i]));
        std::abort();
      }
  }
}

}  // namespace
}  // namespace nibble

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  return nibble::set_threads(1) ? 0 : 1;  // one input is too little work to share
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  nibble::compare_tables(nibble::Bytes(data, size));
  return 0;
}
