#include "model/size.h"

namespace nibble {

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
      out.linear_bytes += NB_TRY(weights.stored_bytes(spec.module, spec.n, spec.k));
      if (auto w = weights.checkpoint().get(spec.module + ".outlier_weight"))
        out.linear_bytes += static_cast<int64_t>(w->bytes.size());
    }
  return out;
}

}  // namespace nibble
