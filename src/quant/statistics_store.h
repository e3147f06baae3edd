// What a float model's linears read, gathered once and kept on disk: many schemes and methods can
// then be tried without windows passing through the model again.
#pragma once

#include <memory>
#include <string>

#include "base/json.h"
#include "model/weights.h"
#include "quant/calibration.h"
#include "quant/statistics.h"

namespace nibble {

// Statistics of a float model that were gathered before.
class StatisticsSource {
 public:
  virtual ~StatisticsSource() = default;
  // What they have at most; nothing of a drift.
  virtual InputStatistics::Need holds() const = 0;
  // What enters a linear.
  virtual Result<InputStatistics> load(int64_t layer, const LinearSpec& spec) const = 0;
  // False of an expert that no token reached.
  virtual Result<bool> reached(int64_t layer, const LinearSpec& spec) const = 0;
  // {"calibration": {"source", ...}, ...}: what identifies them.
  virtual Json fingerprint() const = 0;
  // What they were gathered on, for people.
  virtual std::string source() const = 0;
};

// A folder of statistics.json (whose they are) and block-NNNNN.safetensors, one a block: for each
// stage the upper triangle of H row by row, the sum and the largest magnitude of each channel
// (float32), and the number of tokens.
class StatisticsStore : public StatisticsSource {
 public:
  // Refuses statistics of another model, `source_digest` as Checkpoint::digest, or of a layout that
  // this version does not know.
  static Result<StatisticsStore> open(const std::string& folder, const std::string& source_digest);

  InputStatistics::Need holds() const override { return InputStatistics::Need::kHessian; }
  Result<InputStatistics> load(int64_t layer, const LinearSpec& spec) const override;
  Result<bool> reached(int64_t layer, const LinearSpec& spec) const override;
  // The largest magnitude of all that enters a linear.
  Result<float> largest(int64_t layer, const LinearSpec& spec) const;
  // {"version", "source", "calibration": {"source", "hash", "tokens"}}
  Json fingerprint() const override { return fingerprint_; }
  std::string source() const override;

 private:
  std::string folder_;
  Json fingerprint_;
};

struct StatisticsReport {
  int64_t blocks = 0, bytes = 0;
};

// Runs the float model over the windows and writes `folder`, which appears when it is whole. Only
// one block is in memory.
Result<StatisticsReport> write_statistics(const Weights& weights, const CalibrationSet& windows,
                                          const std::string& folder, bool force);

}  // namespace nibble
