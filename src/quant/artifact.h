// The folder that quantizing writes: a Hugging Face checkpoint in compressed-tensors form, plus
// nibble.json with where it came from.
#pragma once

#include <functional>
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

// An artifact of ggml's blocks is a GGUF file. What writes such files stands on a floor above
// (export/gguf_artifact.h) and is handed down.
struct GgufWriter {
  // Refuses what GGUF has no words for, before anything is quantized; `what` names the model.
  Status (*check)(const DecoderConfig& config, const std::string& what) = nullptr;
  // Writes kGgufFile, or parts of so many bytes, a Modelfile and a model card into `folder`, which
  // has the side files, and reads it back. `model`: its matrices as they shall lie in the file;
  // `origin`: what the file says of where it comes from. -> what nibble.json says of the file
  // beside the job's record.
  std::function<Result<Json>(const Weights& model, const GgufMix* mix, const Json& origin,
                             const std::string& folder, int64_t part_bytes)>
      write;
};

// The name of that file in a folder.
inline constexpr const char* kGgufFile = "model.gguf";

// Gives kGgufFile of the staging folder the final name `path`; what else the folder holds goes.
Status publish_gguf(const OutputFolder& out, const std::string& path);

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
// The same as GGUF: what the writer writes, nibble.json and the side files.
Status write_gguf_artifact(OutputFolder& out, const Weights& source, const Weights& floats,
                           const ArtifactRecord& record, std::vector<NamedTensor> tensors,
                           const GgufWriter& writer, int64_t part_bytes);

}  // namespace nibble
