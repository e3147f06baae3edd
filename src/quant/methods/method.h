// A quantization method: a pure function of weights, statistics and scheme. One file a method here,
// one line in methods.inc.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "quant/statistics.h"
#include "tensor/quantized.h"

namespace nibble {

// W: (n, k) row-major float32, the scheme it goes to.
struct FloatMatrix {
  std::string name;
  int64_t n = 0, k = 0;
  std::vector<float> w;
  Scheme scheme;
};

// In which order GPTQ takes the columns. Groups stay contiguous in every one.
enum class ColumnOrder : uint8_t { kNatural, kActivation, kGar };

// What the sparse methods set to zero: a share of all weights, or all but `keep` of every `of`
// columns of a row.
struct Sparsity {
  double share = .5;
  int64_t keep = 0, of = 0;  // of 0: anywhere
};

struct MethodOptions {
  double damping = .01;
  ColumnOrder order = ColumnOrder::kActivation;
  Sparsity sparsity = {};
};

// What all blocks learn together, end to end, once each has been quantized.
struct DistillationPlan {
  enum class What : uint8_t { kNothing, kScales, kCodes };  // kCodes: codes, scales and norms
  What what = What::kNothing;
  int64_t steps = 0;  // 0: as many as default_steps gives
  bool operator==(const DistillationPlan&) const = default;
};

struct MethodResult {
  std::vector<QuantizedMatrix> matrices;  // in the order of the input
  std::vector<std::string> notes;         // what a person should know: fallbacks, dead columns
};

struct Method {
  const char* name;
  const char* summary;
  InputStatistics::Need need;
  // Quantizes matrices that read the same input, whose statistics are given (null only when `need`
  // is kNothing). Weights are finite and scales fit their type: the caller has checked.
  Result<MethodResult> (*quantize)(std::span<const FloatMatrix> matrices,
                                   const InputStatistics* statistics, const MethodOptions& options);
  bool diagonal = false;     // does with kDiagonal, less well, where that is all there is
  bool takes_drift = false;  // kDrift where windows and their float twins are there, else `need`
  bool tunes_block = false;  // the block's quantized linears learn together: block_tuning.h
  DistillationPlan distillation = {};
  const char* transform = nullptr;  // the transform that is part of it
  double int8_threshold = 0;        // InputRules::threshold of what it writes; it takes 8 bits
  bool blocks = false;              // takes schemes of ggml's blocks too
  bool sparse = false;              // sets weights to zero as MethodOptions::sparsity says
  // What quantize() holds beside its arguments, its result and its grids: bytes for each of the
  // (k, k) of the input, and for each weight.
  struct Memory {
    int64_t per_square = 0, per_weight = 0;
  };
  Memory memory = {};
};

std::span<const Method> known_methods();
Result<const Method*> find_method(const std::string& name);

}  // namespace nibble
