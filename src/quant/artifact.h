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
  InputRules inputs;       // what its integer inputs are to be
  CalibrationSet windows;  // empty windows where no method took any
  Json statistics;         // StatisticsStore::fingerprint, where one took the windows' place
  std::vector<ModuleReport> modules;
  std::vector<std::string> notes;
};

// Why other programs cannot load what RecipeSettings::bitmaps makes.
inline constexpr const char* kBitmapsOnlyNibble =
    "sparse matrices are stored as bitmaps and kept codes";

// What identifies a job: two jobs with equal fingerprints write equal bytes.
Json fingerprint(const ArtifactRecord& record);

inline constexpr int64_t kShardBytes = 5'000'000'000;

// Copies what a model has beside its weights and config into the folder: tokenizer, chat template,
// generation config, licence. Of a GGUF file, what its metadata say of these.
Status copy_side_files(OutputFolder& out, const std::string& model);

// Writes config.json, nibble.json, weights (the given tensors and everything of `floats` that they
// do not replace) and the side files (tokenizer, chat template, licence) of `source`, the model as
// its user knows it. `floats` is the same unless a transform has rewritten the whole model.
Status write_artifact(OutputFolder& out, const Weights& source, const Weights& floats,
                      const ArtifactRecord& record, std::vector<NamedTensor> tensors);

}  // namespace nibble
