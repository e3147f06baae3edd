// The whole quantizing job: from a float model folder to an artifact.
#pragma once

#include <optional>
#include <string>

#include "quant/artifact.h"
#include "quant/distillation.h"
#include "quant/memory_plan.h"

namespace nibble {

struct QuantizeOptions {
  std::string model, output;
  std::string lora;  // folder of an adapter that is merged first, or empty
  Recipe recipe;
  std::string calibration;  // path of a UTF-8 text, "-", or empty: the model writes its own
  std::string statistics;   // folder of a StatisticsStore to use in place of windows, or empty
  std::string imatrix;      // path of llama.cpp's importance matrix to use so, or empty
  int64_t max_memory = 0;   // bytes of anonymous memory that may be held; see plan_memory
  bool force = false;       // replace an existing output folder
  bool resume = false;      // continue an interrupted job of the same fingerprint
  bool requantize = false;  // take a source that is quantized already, by its dequantized values
  bool dry_run = false;     // check everything that can be checked, write nothing
  const GgufWriter* gguf = nullptr;  // for schemes of ggml's blocks
  int64_t part_bytes = 0;            // of each of several GGUF files; 0: one file

  bool gathered() const { return !statistics.empty() || !imatrix.empty(); }
};

struct QuantizeReport {
  ArtifactRecord record;
  // Of the files as written; of a dry run, bits_per_weight is what they will have.
  double bits_per_weight = 0, file_bits = 0;
  int64_t bytes = 0;
  int64_t blocks_resumed = 0;
  MemoryPlan memory;
  std::optional<DistillationReport> distillation;
  int64_t zeros = 0, weights = 0;  // of the blocks' quantized linears: exact zeros of how many
  // Linears that a sparse method quantized in this run, and how many of them GPTQ's dense codes in
  // the bytes of a bitmap and the kept codes would serve with less error.
  int64_t sparse_linears = 0, dense_wins = 0;
  double sparsity() const {
    return weights > 0 ? static_cast<double>(zeros) / static_cast<double>(weights) : 0;
  }
  std::string only_nibble;  // why other programs cannot load it; empty if they can
};

// Fails where a part of the model is quantized already, unless the user asked for that.
Status check_source(const QuantizeOptions& options, const Weights& weights);
// Refuses what an artifact of GGUF cannot be, before anything is done. `recipe`, `plan`: in place
// of the options'.
Status check_gguf(const QuantizeOptions& options, const Recipe& recipe, const Weights& weights,
                  const Plan& plan);

// Fails with one line and leaves nothing behind; a killed job leaves only OUTPUT.partial. Schemes
// of ggml's blocks make a GGUF file where the output's name ends in .gguf, else a folder with one.
Result<QuantizeReport> quantize_model(const QuantizeOptions& options);

}  // namespace nibble
