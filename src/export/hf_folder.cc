#include "export/hf_folder.h"

#include "quant/artifact.h"

namespace nibble {
namespace {

Status write_config(const ExportRequest& request, OutputFolder& out, Json quantization) {
  Json config = request.model.checkpoint().config();
  config.erase("quantization_config");
  if (!quantization.is_null()) config["quantization_config"] = std::move(quantization);
  return write_file(out.staging() + "/config.json", config.dump(2) + "\n");
}

}  // namespace

std::vector<ExportMatrix> export_matrices(const Weights& model) {
  const DecoderConfig& c = model.config();
  std::vector<ExportMatrix> out;
  auto add = [&](const std::string& module, int64_t n, int64_t k, bool in_block) {
    out.push_back({module, n, k, model.scheme_of(module), in_block});
  };
  for (int64_t layer = 0; layer < c.layers; ++layer)
    for (const LinearSpec& spec : block_linears(c, layer)) add(spec.module, spec.n, spec.k, true);
  add(embedding_module(c), c.vocab, c.embedding_width, false);
  if (!c.tied_head) add(head_module(c), c.vocab, c.embedding_width, false);
  return out;
}

Status write_hf_folder(const ExportRequest& request, OutputFolder& out,
                       std::vector<PendingTensor> tensors, const std::set<std::string>& replaced,
                       Json quantization) {
  const Weights& model = request.model;
  constexpr std::string_view kWeight = ".weight";
  for (PendingTensor& t : NB_TRY(model.float_tensors())) {
    bool weight = t.name.ends_with(kWeight);
    if (!weight || !replaced.contains(t.name.substr(0, t.name.size() - kWeight.size())))
      tensors.push_back(std::move(t));
  }
  NB_OK(write_sharded(out.staging(), std::move(tensors), kShardBytes));
  return write_config(request, out, std::move(quantization));
}

Status write_plain_config(const ExportRequest& request, OutputFolder& out) {
  return write_config(request, out, nullptr);
}

}  // namespace nibble
