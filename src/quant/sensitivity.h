// What quantizing one part of a model costs, measured: KL(float || the model with only this part
// quantized) on calibration windows that the part's statistics have not seen.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "model/weights.h"
#include "quant/calibration.h"
#include "quant/recipe.h"

namespace nibble {

struct MeasuredOption {
  Scheme scheme;
  int64_t bytes = 0;  // as stored
  double kl = 0;      // nats a token
  // Of the part's outputs, squared and summed, where it is rounded to nearest; only where
  // SensitivityOptions::extrapolated asks for some.
  double output_error = 0;
};

// Linears that share an input are one item: they get one scheme.
struct MeasuredItem {
  std::vector<int64_t> layers;  // its block; none: the embedding or the head
  std::string names;            // as a rule has them: "qkv", "o_proj" ..., "embedding", "head"
  int64_t weights = 0;
  bool read_by_token = true;  // every generated token reads all of it
  std::vector<MeasuredOption> options;
};

struct SensitivityOptions {
  const Method* method = nullptr;  // of the blocks' linears; the embedding and head are rounded
  MethodOptions methods;
  // Of a scheme of ggml's blocks, a part whose rows are no whole blocks gets gguf_type_for_row's in
  // its place; one whose rows are whole blocks of no type is no item.
  std::vector<Scheme> schemes;
  bool embedding = false, head = false;  // items too; a tied head goes with the embedding
  // Schemes of the blocks' linears that do not run: their KL is that of schemes[0], times the ratio
  // of what rounding to each of the two does to the outputs. The embedding and head have none.
  std::vector<Scheme> extrapolated = {};
  std::optional<Scheme> outer = {};  // what the embedding and head take in place of all of them
};

// The last quarter of the windows, four at most, is held back to measure on: every option of every
// part passes them, and differences of one window's KL are far below those between options. A
// single window serves both uses.
struct SplitWindows {
  std::vector<std::vector<int32_t>> fit, held;
};
SplitWindows split_windows(const CalibrationSet& set);

// Memory: the float model stays mapped, one block's linears are quantized at a time.
Result<std::vector<MeasuredItem>> measure_sensitivity(const Weights& weights,
                                                      const SensitivityOptions& options,
                                                      SplitWindows windows);

}  // namespace nibble
