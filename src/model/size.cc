#include "model/size.h"

namespace nibble {

Result<SizeReport> measure_size(const Weights& weights) {
  const DecoderConfig& c = weights.config();
  SizeReport out;
  for (const NamedTensor& t : weights.checkpoint().tensors())
    out.file_bytes += static_cast<int64_t>(t.view.bytes.size());
  out.parameters = c.vocab * c.hidden * (c.tied_head ? 1 : 2) + c.hidden;
  for (int64_t layer = 0; layer < c.layers; ++layer) {
    BlockNorms norms = block_norms(c, layer);
    for (const VectorSpec& v : {norms.attention, norms.mlp, norms.query, norms.key})
      out.parameters += v.size;
    for (const LinearSpec& spec : block_linears(c, layer)) {
      out.linear_weights += spec.n * spec.k;
      out.parameters += spec.n * spec.k + (spec.bias ? spec.n : 0);
      if (weights.scheme_of(spec.module))
        out.linear_bytes += NB_TRY(weights.quantized(spec.module, spec.n, spec.k)).stored_bytes();
      else
        out.linear_bytes += static_cast<int64_t>(
            NB_TRY(weights.float_matrix(spec.module + ".weight", spec.n, spec.k)).bytes.size());
      if (auto w = weights.checkpoint().get(spec.module + ".outlier_weight"))
        out.linear_bytes += static_cast<int64_t>(w->bytes.size());
    }
  }
  return out;
}

}  // namespace nibble
