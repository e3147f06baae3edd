#include "export/row_reader.h"

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

void RowReader::operator()(int64_t row, float* out) const {
  if (quantized_)
    quantized_->dequantize(row, out);
  else
    to_float(floats_.dtype, floats_.bytes.data() + row * k_ * dtype_size(floats_.dtype), k_, out);
}

void RowReader::release() const { (quantized_ ? quantized_->code_view() : floats_).release(); }

}  // namespace nibble
