// The folder that quantizing writes: a Hugging Face checkpoint in compressed-tensors form, plus
// nibble.json with where it came from.
#pragma once

#include <string>
#include <vector>

#include "base/file.h"
#include "model/weights.h"
#include "quant/calibration.h"
#include "quant/recipe.h"

namespace nibble {

// One quantized module as the artifact's records name it.
struct ModuleReport {
  std::string module, scheme;
  int64_t n = 0, k = 0;
  double error = 0;
};

// Everything that decides the artifact's bytes, and what is told of it.
struct ArtifactRecord {
  std::string source_digest;
  Recipe recipe;
  Plan plan;               // the recipe for this model
  CalibrationSet windows;  // empty windows where no method took any
  std::vector<ModuleReport> modules;
  std::vector<std::string> notes;
};

// What identifies a job: two jobs with equal fingerprints write equal bytes.
Json fingerprint(const ArtifactRecord& record);

// Writes config.json, nibble.json, weights (the given quantized tensors and everything of the
// source that they do not replace) and the side files (tokenizer, chat template, licence).
Status write_artifact(OutputFolder& out, const Weights& source, const ArtifactRecord& record,
                      std::vector<NamedTensor> quantized);

}  // namespace nibble
