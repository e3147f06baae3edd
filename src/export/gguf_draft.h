// What a GGUF file of a model will hold: metadata and tensors, before any is written.
#pragma once

#include <string>
#include <vector>

#include "export/gguf_tensors.h"

namespace nibble {

struct GgufDraft {
  const GgufArchitecture* architecture = nullptr;
  GgufTensors tensors;
  GgufMetadata metadata;
  std::vector<std::string> notes;  // what llama.cpp computes otherwise

  // Views of this and of the model.
  std::vector<PendingGgufTensor> pending(const Weights& model) const;
};

// `mix`, `values` as plan_gguf_tensors takes them. `named`: the mixture that general.file_type
// says; null: what the tensors are.
Result<GgufDraft> draft_gguf(const Weights& model, const GgufMix* mix, bool values,
                             const GgufMix* named);

// Writes kGgufFile, or its parts, and the Modelfile into `folder`, which has the side files.
Status write_gguf_draft(const GgufDraft& draft, const Weights& model, const std::string& folder,
                        int64_t part_bytes);

}  // namespace nibble
