#include "quant/outer_matrices.h"

#include "base/log.h"
#include "quant/block_pass.h"
#include "quant/journal.h"

namespace nibble {
namespace {

// The embedding or the head, quantized as the plan says; `stored` is the module whose weight it is.
Result<std::optional<QuantizedMatrix>> quantize_outer(const Weights& weights,
                                                      const std::string& module,
                                                      const std::string& stored,
                                                      ArtifactRecord& record) {
  const ModuleChoice& choice = record.plan.of(module);
  if (!choice.scheme) return std::nullopt;
  const DecoderConfig& c = weights.config();
  FloatMatrix m = NB_TRY(load_matrix(weights, stored, c.vocab, c.embedding_width, *choice.scheme));
  MethodResult result =
      NB_TRY(choice.method->quantize(std::span(&m, 1), nullptr, record.recipe.settings().methods));
  QuantizedMatrix& q = result.matrices[0];
  record.modules.push_back(
      {module, choice.scheme->name(), c.vocab, c.embedding_width, relative_error(m, q, nullptr)});
  return std::move(q);
}

}  // namespace

Result<Embedding> quantize_embedding(const Weights& weights, ArtifactRecord& record,
                                     std::vector<NamedTensor>& tensors) {
  std::string module = embedding_module(weights.config());
  auto q = NB_TRY(quantize_outer(weights, module, module, record));
  if (!q) return weights.embedding();
  for (NamedTensor& t : job_tensors(module, *q)) tensors.push_back(std::move(t));
  return weights.embedding(std::move(*q));
}

Status quantize_head(const Weights& weights, ArtifactRecord& record,
                     std::vector<NamedTensor>& tensors) {
  std::string module = head_module(weights.config()), stored = head_source(weights.config());
  if (record.plan.unties_head()) note("the tied head is stored as a {} of its own", module);
  auto q = NB_TRY(quantize_outer(weights, module, stored, record));
  if (q)
    for (NamedTensor& t : job_tensors(module, *q)) tensors.push_back(std::move(t));
  else if (record.plan.unties_head())
    tensors.push_back(
        {module + ".weight", NB_TRY(weights.float_matrix(stored + ".weight", weights.config().vocab,
                                                         weights.config().embedding_width))});
  return {};
}

}  // namespace nibble
