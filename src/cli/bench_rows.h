// What `nibble bench` measures: prefill and decoding, many runs each, beside the machine's limits
// at that moment.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/profile.h"
#include "model/decoder.h"
#include "runtime/energy.h"
#include "runtime/limits.h"
#include "runtime/spread.h"

namespace nibble {

struct BenchPlan {
  int64_t prompt = 512, tokens = 128;  // of a run; 0: no such row
  std::vector<int64_t> batches = {1};  // sequences decoded together, a row each
  std::vector<int64_t> depths = {0};   // tokens in the cache before decoding, a row each
  int64_t warmup = 5, runs = 30;
  KvType cache = KvType::kF32;
  bool profile = false;
};

struct BenchRow {
  std::string test;  // "pp512", "tg128", "tg128 x4 @2048"
  int64_t batch = 1, depth = 0;
  int64_t tokens = 0, passes = 0;    // of one run, all sequences together; forward passes
  int64_t read_bytes = 0, macs = 0;  // of one run: weights and cache read; products with weights
  std::vector<double> seconds;       // of each run
  std::vector<Limits> limits;        // looks at the machine between the runs
  std::optional<double> joules;      // of all runs
  int64_t page_faults = 0;           // of all runs: 0 where the loop takes no memory of the system
  int64_t allocations = 0;           // the same of the heap
  std::vector<OperatorProfile> operators;  // of all runs; empty where none was asked for
};

// Of these looks, in bytes and multiply-accumulates a second; zeros where unknown.
Spread read_limit(const std::vector<Limits>& looks);
Spread mac_limit(const std::vector<Limits>& looks);
// Tokens a second.
Spread token_rate(const BenchRow& row);
// How near the median run came to the machine's limits, 0..1; 0 where the limit is unknown.
double read_share(const BenchRow& row);
double mac_share(const BenchRow& row);

// Runs the plan. The decoder's context holds every row of it; `energy` may be null.
std::vector<BenchRow> measure_rows(const Decoder& decoder, const BenchPlan& plan,
                                   const LimitMeter& limits, EnergyMeter* energy);

}  // namespace nibble
