#include "model/size.h"

#include "formats/sparse_bitmap.h"

namespace nibble {
namespace {

// As the file stores it.
Result<int64_t> quantized_bytes(const Weights& weights, const LinearSpec& spec) {
  QuantizedMatrix q = NB_TRY(weights.quantized(spec.module, spec.n, spec.k));
  auto map = weights.checkpoint().get(spec.module + kBitmapPart);
  if (!map) return q.stored_bytes();
  TensorView kept = NB_TRY(weights.checkpoint().get(spec.module + kKeptPart));
  int64_t codes =
      spec.n * (q.scheme().bits == 8 ? spec.k : QuantizedMatrix::row_bytes(q.scheme(), spec.k));
  return q.stored_bytes() - codes + static_cast<int64_t>(map->bytes.size() + kept.bytes.size());
}

}  // namespace

Result<SizeReport> measure_size(const Weights& weights) {
  const DecoderConfig& c = weights.config();
  SizeReport out;
  for (const NamedTensor& t : weights.checkpoint().tensors())
    out.file_bytes += static_cast<int64_t>(t.view.bytes.size());
  out.parameters = c.vocab * c.embedding_width * (c.tied_head ? 1 : 2);
  if (c.head_bias) out.parameters += c.vocab;
  for (const VectorSpec& v : norm_vectors(c)) out.parameters += v.size;
  for (const MatrixSpec& m : other_matrices(c)) out.parameters += m.n * m.k;
  for (int64_t layer = 0; layer < c.layers; ++layer)
    for (const LinearSpec& spec : block_linears(c, layer)) {
      out.linear_weights += spec.n * spec.k;
      out.parameters += spec.n * spec.k + (spec.bias ? spec.n : 0);
      if (weights.scheme_of(spec.module))
        out.linear_bytes += NB_TRY(quantized_bytes(weights, spec));
      else
        out.linear_bytes += NB_TRY(weights.stored_bytes(spec.module + ".weight"));
      if (auto w = weights.checkpoint().get(spec.module + ".outlier_weight"))
        out.linear_bytes += static_cast<int64_t>(w->bytes.size());
    }
  return out;
}

}  // namespace nibble
