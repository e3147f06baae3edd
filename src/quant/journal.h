// What a quantizing job keeps on disk so that it can go on after a kill: its fingerprint, and one
// file for each finished block.
#pragma once

#include <optional>
#include <string>

#include "base/json.h"
#include "quant/block_pass.h"

namespace nibble {

// A quantized matrix as a job keeps it: compressed-tensors, or ggml's blocks as they are.
std::vector<NamedTensor> job_tensors(const std::string& module, const QuantizedMatrix& w);

class Journal {
 public:
  // A block is saved when the block pass has done it, and once more when it has learned.
  enum class Phase : uint8_t { kQuantized, kLearned };

  // Opens the journal in `folder`. An earlier job's blocks are kept only if it had the same
  // fingerprint; with another one this fails, naming the first field that differs. `bitmaps`: see
  // RecipeSettings.
  static Result<Journal> open(const std::string& folder, const Json& fingerprint,
                              bool bitmaps = false);

  bool has(Phase phase, int64_t block) const;
  // The block's quantized linears, if an earlier run finished it. `specs`: all of the block's.
  Result<std::optional<QuantizedBlock>> load(Phase phase, int64_t block,
                                             const std::vector<LinearSpec>& specs,
                                             const Plan& plan) const;
  Status save(Phase phase, int64_t block, const QuantizedBlock& quantized) const;
  // The stored tensors of a finished block in its last phase, mapped.
  Result<std::vector<NamedTensor>> tensors(int64_t block) const;
  // Removes the job's own files, which are no part of the artifact.
  Status clear(int64_t blocks) const;

 private:
  std::string block_path(Phase phase, int64_t block) const;
  std::string folder_;
  bool bitmaps_ = false;
};

}  // namespace nibble
