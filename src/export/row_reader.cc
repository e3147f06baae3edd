#include "export/row_reader.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/checked.h"
#include "base/threads.h"
#include "export/same_integers.h"

namespace nibble {
bool equal_bytes(std::span<const std::byte> a, std::span<const std::byte> b) {
  if (a.size() != b.size()) return false;
  constexpr int64_t kPiece = 4 << 20;
  auto size = static_cast<int64_t>(a.size());
  std::atomic<bool> equal = true;
  parallel_for(ceil_div(size, kPiece), [&](int64_t i) {
    auto count = static_cast<size_t>(std::min(kPiece, size - i * kPiece));
    if (std::memcmp(a.data() + i * kPiece, b.data() + i * kPiece, count) != 0) equal = false;
  });
  return equal;
}

namespace {

bool equal_tensors(const TensorView& a, const TensorView& b) {
  return a.dtype == b.dtype && equal_bytes(a.bytes, b.bytes);
}

}  // namespace

Result<RowReader> RowReader::open(const Weights& weights, const std::string& module, int64_t n,
                                  int64_t k) {
  RowReader out;
  out.k_ = k;
  if (weights.stored_scheme(module))
    out.quantized_ = NB_TRY(weights.quantized(module, n, k));
  else
    out.floats_ = NB_TRY(weights.float_matrix(module + ".weight", n, k));
  return out;
}

bool RowReader::same_bytes(const RowReader& other) const {
  if (!quantized_ || !other.quantized_)
    return !quantized_ && !other.quantized_ && equal_tensors(floats_, other.floats_);
  const QuantizedMatrix &a = *quantized_, &b = *other.quantized_;
  // How a symmetric grid was fitted does not change what its codes say.
  Scheme own = a.scheme(), other_own = b.scheme();
  if (!own.asymmetric() && !other_own.asymmetric()) other_own.symmetry = own.symmetry;
  return own == other_own && a.code_flip() == b.code_flip() &&
         equal_tensors(a.code_view(), b.code_view()) &&
         equal_tensors(a.scale_view(), b.scale_view()) && std::ranges::equal(a.zeros(), b.zeros());
}

bool RowReader::same_integers(const RowReader& other) const {
  return quantized_ && other.quantized_ && nibble::same_integers(*quantized_, *other.quantized_);
}

void RowReader::operator()(int64_t row, float* out) const {
  if (quantized_)
    quantized_->dequantize(row, out);
  else
    to_float(floats_.dtype, floats_.bytes.data() + row * k_ * dtype_size(floats_.dtype), k_, out);
}

void RowReader::release() const { (quantized_ ? quantized_->code_view() : floats_).release(); }

}  // namespace nibble
