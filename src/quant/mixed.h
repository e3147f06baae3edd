// Mixed precision: bits and group sizes for each part of a model under a budget, from measured
// sensitivity. The result is a recipe.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "quant/allocate.h"
#include "quant/job.h"
#include "quant/sensitivity.h"

namespace nibble {

struct MixedOptions {
  std::vector<RecipeEntry> entries;  // of the recipe, without rules for what is allocated
  Symmetry symmetry = Symmetry::kAsymmetric;
  std::vector<int64_t> groups = {64, 128};
  // A GGUF file: its block types in place of those two; an embedding and a head that no entry names
  // get what llama.cpp's mixtures give them.
  bool gguf = false;
  bool embedding = false, head = false;  // to be allocated too
  // Exactly one budget. Bits per weight of what is allocated; bytes of all tensors; milliseconds a
  // token, at this many bytes a second read.
  std::optional<double> bits, bytes, milliseconds;
  double bandwidth = 0;
};

struct MixedPoint {
  double bits = 0;          // per weight of what is allocated
  int64_t bytes = 0;        // of all tensors of the artifact
  double milliseconds = 0;  // of reading the weights of one token; 0 without a bandwidth
  double kl = 0;            // predicted: the sum of what each part costs alone
};

struct MixedResult {
  std::vector<MixedPoint> front;
  size_t chosen = 0;  // in front
  struct Uniform {
    std::string scheme;
    MixedPoint point;
  };
  std::vector<Uniform> uniform;  // every option given to all parts alike
  std::vector<RecipeEntry> rules;
};

// Measures and allocates. The entries' options say which method and how many windows.
Result<MixedResult> allocate_bits(const QuantizeOptions& job, const MixedOptions& options);

}  // namespace nibble
