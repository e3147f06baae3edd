#include "model/embedding.h"

namespace nibble {

void Embedding::embed(std::span<const int32_t> ids, std::vector<float>& h) const {
  if (const auto* quantized = std::get_if<QuantizedMatrix>(&rows_)) {
    auto hidden = static_cast<size_t>(quantized->cols());
    h.resize(ids.size() * hidden);
    for (size_t t = 0; t < ids.size(); ++t) quantized->dequantize(ids[t], h.data() + t * hidden);
    return;
  }
  const auto& floats = std::get<TensorView>(rows_);
  int64_t hidden = floats.dim(1), row_bytes = hidden * dtype_size(floats.dtype);
  h.resize(ids.size() * static_cast<size_t>(hidden));
  for (size_t t = 0; t < ids.size(); ++t)
    to_float(floats.dtype, floats.bytes.data() + ids[t] * row_bytes, hidden,
             h.data() + t * static_cast<size_t>(hidden));
}

}  // namespace nibble
