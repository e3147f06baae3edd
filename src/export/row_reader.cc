#include "export/row_reader.h"

#include <algorithm>
#include <cstring>

namespace nibble {

Result<RowReader> RowReader::open(const Weights& weights, const std::string& module, int64_t n,
                                  int64_t k) {
  RowReader out;
  out.k_ = k;
  if (weights.scheme_of(module))
    out.quantized_ = NB_TRY(weights.quantized(module, n, k));
  else
    out.floats_ = NB_TRY(weights.float_matrix(module + ".weight", n, k));
  return out;
}

bool RowReader::same_bytes(const RowReader& other) const {
  auto equal = [](const TensorView& a, const TensorView& b) {
    return a.dtype == b.dtype && a.bytes.size() == b.bytes.size() &&
           (a.bytes.empty() || std::memcmp(a.bytes.data(), b.bytes.data(), a.bytes.size()) == 0);
  };
  if (!quantized_ || !other.quantized_)
    return !quantized_ && !other.quantized_ && equal(floats_, other.floats_);
  const QuantizedMatrix &a = *quantized_, &b = *other.quantized_;
  // How a symmetric grid was fitted does not change what its codes say.
  Scheme own = a.scheme(), other_own = b.scheme();
  if (!own.asymmetric() && !other_own.asymmetric()) other_own.symmetry = own.symmetry;
  return own == other_own && a.code_flip() == b.code_flip() &&
         equal(a.code_view(), b.code_view()) && equal(a.scale_view(), b.scale_view()) &&
         std::ranges::equal(a.zeros(), b.zeros());
}

void RowReader::operator()(int64_t row, float* out) const {
  if (quantized_)
    quantized_->dequantize(row, out);
  else
    to_float(floats_.dtype, floats_.bytes.data() + row * k_ * dtype_size(floats_.dtype), k_, out);
}

void RowReader::release() const { (quantized_ ? quantized_->code_view() : floats_).release(); }

}  // namespace nibble
