// What a job holds of anonymous memory (RssAnon: what the system cannot take back by writing out),
// worked out from shapes before any work starts, and how it keeps to a bound on that.
#pragma once

#include "model/config.h"
#include "quant/calibration.h"
#include "quant/preparation.h"
#include "quant/recipe.h"

namespace nibble {

struct MemoryPlan {
  int64_t bytes = 0;             // held at most; no estimate of the usual case
  int64_t least = 0;             // the same with the windows on disk
  int64_t limit = 0;             // the bound, asked for or half of the machine's memory
  bool windows_on_disk = false;  // because they do not fit under the bound
  int64_t disk = 0;              // what the windows take there
};

// The tokens that a job calibrates on: none, windows of a text or of the model's own, or statistics
// that were gathered before.
struct CalibrationDemand {
  enum class Kind : uint8_t { kNothing, kWindows, kStatistics } kind = Kind::kNothing;
  CalibrationOptions options;
  int64_t text_bytes = 0;
};

// `bound`: bytes; 0: half of the machine's memory, over which the job only warns. Fails in one line
// with what is needed at least where `bound` cannot be kept. Learning end to end counts by
// Distiller::memory when its time comes, and is left out then if it does not fit.
Result<MemoryPlan> plan_memory(const DecoderConfig& config, const Plan& plan,
                               const Preparation& preparation, const CalibrationDemand& demand,
                               int64_t bound);

}  // namespace nibble
