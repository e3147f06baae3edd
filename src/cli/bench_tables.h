// The results of `nibble bench` as Markdown and as JSON.
#pragma once

#include "base/json.h"
#include "base/memory.h"
#include "cli/bench_rows.h"

namespace nibble {

// What stands above the rows.
struct BenchHead {
  std::string model, cpu, activations, kernels, arithmetic, meter;  // meter: "" where there is none
  int threads = 0;
  bool pinned = false;
  double load_seconds = 0;         // to a decoder that is ready
  double first_token_seconds = 0;  // then, from one token of prompt to its logits
  ResidentMemory memory;           // after that token
  int64_t read_bytes = 0;          // of weights, for a pass over few tokens
};

Json bench_json(const BenchHead& head, const BenchPlan& plan, const std::vector<BenchRow>& rows);
// To standard output.
void put_bench(const BenchHead& head, const BenchPlan& plan, const std::vector<BenchRow>& rows);

}  // namespace nibble
