// The program that an export is made for, asked for its own logits: tools/consumers/consumer.py
// loads the folder in it, in a Python that has its packages.
#pragma once

#include "eval/evaluation.h"

namespace nibble {

struct ConsumerOptions {
  std::string python;  // a path or a name that PATH knows
  std::string script;  // consumer.py
};

struct ConsumerLoss {
  std::string name;     // "onnxruntime 1.32.0"; empty where nothing was measured
  std::string unknown;  // why not, as one sentence
  Evaluation loss;
};

struct ConsumerRequest {
  std::string folder;  // what was exported
  std::string format;  // as --to names it
  const DecoderConfig& config;
  std::string tokenizer;             // the folder that has it
  std::optional<Weights> reference;  // the float model, where there is one
};

// A consumer that is not there or fails is no error: the result says which.
Result<ConsumerLoss> measure_in_consumer(const ConsumerOptions& consumer, ConsumerRequest request,
                                         const EvaluationOptions& options);

}  // namespace nibble
