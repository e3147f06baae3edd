// What a recipe gives, measured: the model is really quantized, held against its source, and run.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace nibble {

struct MeasuredRecipe {
  double bits = 0;                     // a weight
  int64_t bytes = 0;                   // of all tensors
  double kl = 0, top1 = 0, ratio = 0;  // KL mean, nats; a share; of perplexities
  // Here, of decoding; zeros where no speed was asked for or the machine has no meter.
  double decode = 0, prefill = 0;  // tokens a second
  double joules = 0;               // a token
};

struct RecipeTrial {
  std::string model;     // folder of the float model
  std::string text;      // held-out; empty: no loss is measured
  int64_t tokens = 0;    // of it; 0: all
  bool speed = false;    // run it too
  int64_t prompt = 512;  // of the run's prefill
};

// `nibble quantize` of a model with these arguments behind.
std::vector<std::string> quantize_arguments(const std::string& model, const std::string& output,
                                            const std::vector<std::string>& recipe);

// `recipe`: arguments of `nibble quantize`; empty: the model as it is. What is made goes away
// again.
Result<MeasuredRecipe> measure_recipe(const RecipeTrial& trial,
                                      const std::vector<std::string>& recipe);

}  // namespace nibble
