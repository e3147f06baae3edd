// What the formats that are again a Hugging Face folder have in common.
#pragma once

#include <set>

#include "export/export.h"
#include "formats/safetensors.h"

namespace nibble {

// A matrix that a format may store in its own way.
struct ExportMatrix {
  std::string module;
  int64_t n, k;
  std::optional<Scheme> scheme;  // none: floats
  bool in_block;                 // else the embedding or the head
};
// The linears of all blocks, then the embedding, then a head that is not tied to it.
std::vector<ExportMatrix> export_matrices(const Weights& model);

// Writes model.safetensors (or shards) and config.json: `tensors` for the modules in `replaced`, a
// quantized module that is not among them as floats, everything else as the source has it.
// `quantization` becomes config.json's quantization_config; null: none.
Status write_hf_folder(const ExportRequest& request, OutputFolder& out,
                       std::vector<PendingTensor> tensors, const std::set<std::string>& replaced,
                       Json quantization);

// config.json as the source has it, without quantization_config.
Status write_plain_config(const ExportRequest& request, OutputFolder& out);

}  // namespace nibble
