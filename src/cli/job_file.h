// The whole way as one file: what `nibble make` does, as its YAML says it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace nibble {

// Bounds that a made model must keep; those that are not there are not looked at.
struct JobGates {
  std::optional<double> max_increase;      // of perplexity, 0.01 for 1 %
  std::optional<double> max_kl, min_top1;  // nats a token; a share, 0.95 for 95 %
  std::optional<double> max_bytes;         // of the quantized folder's tensors
  std::optional<double> max_ms_per_token;  // of decoding on this machine
};

struct Job {
  std::string model;        // folder of the float model; empty: the embedded one
  std::string output;       // folder for everything that is made
  std::string calibration;  // text; empty: the model writes its own
  std::string recipe;       // YAML, as `quantize --recipe` takes it
  std::string text;         // held-out; empty: nothing is evaluated
  int64_t tokens = 0;       // of it; 0: all
  std::string activations;  // of the evaluation and of the clock; empty: each command's own
  JobGates gates;
  std::vector<std::string> exports;  // targets, as `export --to` takes them
  bool report = false;               // the page and its Markdown, of the evaluation's text
};

// Paths in the file are relative to its folder. Unknown keys, and gates that nothing could
// measure, are errors that name the file.
Result<Job> read_job(const std::string& path);

}  // namespace nibble
